// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/content_length.h"

#include <charconv>

namespace thaw::net::detail {

Result<std::optional<std::uint64_t>> content_length_of(const Headers& headers) {
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : headers.fields) {
    if (name != "content-length") {
      continue;
    }
    if (length) {
      return Error::invalid_argument("the content-length is said more than once");
    }
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size()) {
      return Error::invalid_argument("the content-length is not one number");
    }
    length = number;
  }
  return length;
}

}  // namespace thaw::net::detail
