// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/alias_shares.h"

#include <charconv>

namespace thaw::cli {

Result<std::map<std::string, std::uint32_t>> named_numbers(const std::vector<std::string>& texts,
                                                           const std::string& form) {
  std::map<std::string, std::uint32_t> out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.rfind('=');
    std::uint32_t number = 0;
    const char* end = text.data() + text.size();
    const bool is_split = equals != 0 && equals != std::string::npos;
    const auto read = std::from_chars(is_split ? text.data() + equals + 1 : end, end, number);
    if (!is_split || read.ec != std::errc() || read.ptr != end) {
      return Error::invalid_argument("give " + form + " with a whole number, not '" + text + "'");
    }
    if (!out.emplace(text.substr(0, equals), number).second) {
      return Error::invalid_argument("'" + text.substr(0, equals) + "' is there twice");
    }
  }
  return out;
}

}  // namespace thaw::cli
