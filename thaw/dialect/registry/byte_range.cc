// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/byte_range.h"

#include <algorithm>
#include <charconv>

namespace thaw::dialect::registry {

namespace {

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
  return is_whole ? std::optional(value) : std::nullopt;
}

}  // namespace

AskedRange read_range(std::string_view header, std::uint64_t size) {
  using What = AskedRange::What;
  constexpr std::string_view unit = "bytes=";
  const auto dash = header.find('-');
  if (!header.starts_with(unit) || dash == std::string_view::npos ||
      header.find(',') != std::string_view::npos) {
    return {};
  }
  const std::string_view from = header.substr(unit.size(), dash - unit.size());
  const std::string_view to = header.substr(dash + 1);
  const auto first = number_of(from);
  const auto last = number_of(to);
  if ((!first && !from.empty()) || (!last && !to.empty()) || (!first && !last) ||
      (first && last && *last < *first)) {
    return {};
  }
  if (!first) {
    const std::uint64_t count = std::min(*last, size);
    return count == 0 ? AskedRange{What::none} : AskedRange{What::part, {size - count, count}};
  }
  if (*first >= size) {
    return {What::none};
  }
  const std::uint64_t end = last && *last < size - 1 ? *last : size - 1;
  return {What::part, {*first, end - *first + 1}};
}

std::optional<ByteRange> read_content_range(std::string_view header) {
  constexpr std::string_view unit = "bytes ";
  if (header.starts_with(unit)) {
    header.remove_prefix(unit.size());
  }
  header = header.substr(0, header.find('/'));
  const auto dash = header.find('-');
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto first = number_of(header.substr(0, dash));
  const auto last = number_of(header.substr(dash + 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) {
    return std::nullopt;
  }
  return ByteRange{*first, *last - *first + 1};
}

}  // namespace thaw::dialect::registry
