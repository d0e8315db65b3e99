# Writes tools/client-mounts and the files beside it that it reads as C++ string literals:
#   cmake -DTOOLS=… -DFILES=client-mounts,client-mounts.lock,… -DOUT=… -P
function(literal path out)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" escaped "${hex}")
  # Several literals side by side: one of this size would be hard on the compiler.
  string(REPEAT "." 400 line)
  string(REGEX REPLACE "(${line})" "\\1\"\n\"" escaped "${escaped}")
  set(${out} "\"${escaped}\"" PARENT_SCOPE)
endfunction()
string(REPLACE "," ";" FILES "${FILES}")
set(contents "")
set(entries "")
set(number 0)
foreach(name ${FILES})
  literal(${TOOLS}/${name} text)
  string(APPEND contents "static const char file_${number}[] = ${text};\n")
  string(APPEND entries "    {\"${name}\", {file_${number}, sizeof(file_${number}) - 1}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "// Generated from tools/client-mounts and what it reads.
#include <string_view>
#include <utility>
#include <vector>
namespace thaw::dialect::modal {
extern const std::vector<std::pair<std::string_view, std::string_view>> client_mounts_files;
${contents}
const std::vector<std::pair<std::string_view, std::string_view>> client_mounts_files = {
${entries}};
}  // namespace thaw::dialect::modal
")
