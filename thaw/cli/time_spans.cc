// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/time_spans.h"

#include <charconv>
#include <string_view>

namespace thaw::cli {

Result<double> parse_time_span(const std::string& text) {
  constexpr double longest = 100 * 365.0 * 24 * 3600;
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, problem] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  const double factor = unit == "s"   ? 1
                        : unit == "m" ? 60
                        : unit == "h" ? 3600
                        : unit == "d" ? 86400
                                      : 0;
  if (problem != std::errc() || factor == 0 || !(number >= 0) || number * factor > longest) {
    return Error::invalid_argument("'" + text.substr(0, 40) +
                                   "' is no span of time: write 90s, 15m, 12h or 30d");
  }
  return number * factor;
}

}  // namespace thaw::cli
