// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/sizes.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>
#include <string>

namespace thaw::cli {

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const Error no_amount = Error::invalid_argument(
      "'" + std::string(text) + "' is no amount of memory; write one like 512MiB or 2GiB");
  double number = 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc()) {
    return no_amount;
  }
  std::string unit;
  std::copy_if(rest, text.data() + text.size(), std::back_inserter(unit),
               [](char c) { return c != ' '; });
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  constexpr std::string_view letters = "kmgt";
  const std::size_t power = unit.empty() ? letters.npos : letters.find(unit[0]);
  const std::string ending = unit.empty() ? "" : unit.substr(1);
  if (power == letters.npos || (!ending.empty() && ending != "ib" && ending != "b")) {
    return no_amount;
  }
  const double bytes =
      number * std::pow(ending == "b" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  if (!(bytes >= 1 && bytes <= std::pow(2.0, 60))) {
    return no_amount;
  }
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace thaw::cli
