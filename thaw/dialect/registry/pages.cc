// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/pages.h"

#include <algorithm>
#include <charconv>

#include "thaw/codec/encoding.h"

namespace thaw::dialect::registry {

Result<Page> read_page(std::string_view query, std::size_t most) {
  Page page{most, codec::query_value(query, "last")};
  const std::string wanted = codec::query_value(query, "n");
  if (wanted.empty()) {
    return page;
  }
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), count);
  if (error == std::errc::result_out_of_range) {
    return page;
  }
  if (error != std::errc() || end != wanted.data() + wanted.size()) {
    return Error::invalid_argument("n is a number of things, and '" + wanted.substr(0, 50) +
                                   "' is none");
  }
  page.count = std::min(count, most);
  return page;
}

// Names of this protocol have no bytes that a query would have to escape.
std::string link_to_next(std::string_view path, const Page& page, std::string_view last,
                         std::string_view more_query) {
  return "<" + std::string(path) + "?n=" + std::to_string(page.count) +
         "&last=" + std::string(last) + std::string(more_query) + ">; rel=\"next\"";
}

}  // namespace thaw::dialect::registry
