// SPDX-License-Identifier: Apache-2.0
//
// LineSplitter: bytes of a pipe in, lines out (their newline included). A character that a read has
// torn apart waits for its other half; a line without end is given out in pieces of a bounded size;
// a prompt without newline comes out by rest(), which the owner calls when nothing more came for a
// while. A value with one owner.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::logs {

class LineSplitter {
 public:
  explicit LineSplitter(std::size_t line_bytes) : line_bytes_(line_bytes) {}
  std::vector<std::string> feed(std::string_view bytes);
  // What waits, except the beginning of a character. Empty if nothing waits.
  std::string rest();
  // At the end of the pipe: everything.
  std::string end();

 private:
  std::size_t line_bytes_;
  std::string held_;
};

}  // namespace thaw::logs
