// SPDX-License-Identifier: Apache-2.0
//
// Programs print bytes; clients expect UTF-8. Bad bytes become U+FFFD, and a text is cut only
// between characters. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace thaw::codec {

// Each longest run of bytes that begins a character but does not finish it becomes one U+FFFD.
std::string valid_utf8(std::string text);

// The greatest count of bytes, at most `most`, after which `text` may be cut. At least 1 if `text`
// is not empty and `most` is not 0, also when it is not UTF-8.
std::size_t cut_utf8(std::string_view text, std::size_t most);

// How many bytes at the end of `text` begin a character and do not finish it: 0 to 3.
std::size_t unfinished_utf8(std::string_view text);

}  // namespace thaw::codec
