# thaw_module(queue USES model codec async store LINKS PkgConfig::sqlite3)
#   One static library per folder of thaw/. Sources, unit tests (*_test.cc) and micro-benchmarks
#   (*_bench.cc) are found by suffix. USES names the Thaw modules it may include (base is implied);
#   tools/thaw-tidy compares it with the layer table of ARCHITECTURE.md. COMPUTING_TESTS names those
#   that compute for seconds, which are optimized.
function(thaw_module name)
  cmake_parse_arguments(ARG "" "" "USES;LINKS;COMPUTING_TESTS" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  set(benches ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench)\\.cc$")
  if(NOT sources)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.cc "")
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cc)
  endif()
  add_library(thaw_${target} STATIC ${sources})
  target_link_libraries(thaw_${target} PUBLIC thaw_options ${ARG_LINKS})
  if(NOT name STREQUAL "base")
    target_link_libraries(thaw_${target} PUBLIC thaw_base)
  endif()
  foreach(used ${ARG_USES})
    string(REPLACE "/" "_" used_target ${used})
    target_link_libraries(thaw_${target} PUBLIC thaw_${used_target})
  endforeach()
  if(tests)
    # The first to have a template's code gives it to all others, the module's own files too.
    set(computing ${ARG_COMPUTING_TESTS})
    list(TRANSFORM computing PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    list(REMOVE_ITEM tests ${computing})
    add_executable(${target}_test ${computing} ${tests} ${CMAKE_SOURCE_DIR}/cmake/test_main.cc)
    target_link_libraries(${target}_test PRIVATE thaw_${target})
    # Half of all that is compiled, and run once.
    target_compile_options(${target}_test PRIVATE -O0)
    set_source_files_properties(${computing} PROPERTIES COMPILE_OPTIONS -O2)
    add_test(NAME unit.${target} COMMAND ${target}_test)
    set_tests_properties(unit.${target} PROPERTIES TIMEOUT 900)
  endif()
  if(benches)
    add_executable(${target}_bench ${benches})
    target_link_libraries(${target}_bench PRIVATE thaw_${target} benchmark benchmark_main)
  endif()
endfunction()

# thaw_proto(target file.proto…): messages only; no generated services. The generated code is
# compiled without our warnings, without sanitizers and coverage (it is not ours, and takes them
# minutes) and at -O1 (it is large and never hot).
function(thaw_proto target)
  set(generated)
  foreach(proto ${ARGN})
    get_filename_component(stem ${proto} NAME_WE)
    set(out ${CMAKE_BINARY_DIR}/gen)
    file(RELATIVE_PATH rel ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
    string(REGEX REPLACE "\\.proto$" "" rel_stem ${rel})
    add_custom_command(
      OUTPUT ${out}/${rel_stem}.pb.cc ${out}/${rel_stem}.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND protobuf::protoc --cpp_out=${out} -I ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/${rel}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto} VERBATIM)
    list(APPEND generated ${out}/${rel_stem}.pb.cc)
  endforeach()
  add_library(${target} STATIC ${generated})
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/gen)
  target_compile_options(${target} PRIVATE -w -O1 -g0 -fno-sanitize=all
    -fno-profile-instr-generate -fno-coverage-mapping)
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
endfunction()
