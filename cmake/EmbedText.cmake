# Writes a text file as a C++ string: cmake -DTEXT=… -DOUT=… -DNAMESPACE=a::b -DNAME=c -P
# gives `std::string_view a::b::c()`.
file(READ ${TEXT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" escaped "${hex}")
# Several literals side by side: one of this size would be hard on the compiler.
string(REPEAT "." 400 line)
string(REGEX REPLACE "(${line})" "\\1\"\n\"" escaped "${escaped}")
get_filename_component(file ${TEXT} NAME)
file(WRITE ${OUT} "// Generated from ${file}.
#include <string_view>
namespace ${NAMESPACE} {
std::string_view ${NAME}();
static const char text[] = \"${escaped}\";
std::string_view ${NAME}() { return {text, sizeof(text) - 1}; }
}  // namespace ${NAMESPACE}
")
