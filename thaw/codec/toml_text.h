// SPDX-License-Identifier: Apache-2.0
//
// The reader of TOML that is used looks up whether a character is white space in a table that has
// no answer for some of those outside of ASCII: what it does then is undefined. TOML has such
// characters in strings and comments alone, so a text that has them elsewhere is refused before.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace thaw::codec {

// The line, from 1, of the first byte outside of ASCII that is in no string and no comment, or
// where a string passes over white space after a backslash at the end of a line. Pure; any thread.
std::optional<std::size_t> stray_line_of_toml(std::string_view text);

}  // namespace thaw::codec
