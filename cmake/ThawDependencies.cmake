# Everything Thaw links to, in one place. All are Debian 12 packages (tools/setup installs them).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Protobuf REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(CURL REQUIRED)
find_package(date REQUIRED)  # time zones
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(seccomp REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(archive REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)

add_library(thaw_options INTERFACE)
target_include_directories(thaw_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(thaw_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-sign-conversion -Wno-missing-field-initializers)
target_compile_definitions(thaw_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_BOOST_COROUTINE
  THAW_VERSION="${PROJECT_VERSION}")
target_link_libraries(thaw_options INTERFACE Threads::Threads fmt::fmt spdlog::spdlog)
