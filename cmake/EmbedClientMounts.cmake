# Writes tools/client-mounts and its lock file as C++ string literals: cmake -DPROGRAM=… -DOUT=… -P
function(literal path out)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" escaped "${hex}")
  # Several literals side by side: one of this size would be hard on the compiler.
  string(REPEAT "." 400 line)
  string(REGEX REPLACE "(${line})" "\\1\"\n\"" escaped "${escaped}")
  set(${out} "\"${escaped}\"" PARENT_SCOPE)
endfunction()
literal(${PROGRAM} program)
literal(${PROGRAM}.lock lock)
file(WRITE ${OUT} "// Generated from tools/client-mounts.
#include <string_view>
namespace thaw::dialect::modal {
extern const std::string_view client_mounts_program;
extern const std::string_view client_mounts_lock;
static const char program[] = ${program};
static const char lock[] = ${lock};
const std::string_view client_mounts_program{program, sizeof(program) - 1};
const std::string_view client_mounts_lock{lock, sizeof(lock) - 1};
}  // namespace thaw::dialect::modal
")
