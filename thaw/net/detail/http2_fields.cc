// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_fields.h"

namespace thaw::net::detail {

namespace {

// Meaningful to one HTTP/1.1 hop only; HTTP/2 forbids them.
bool is_hop_by_hop(std::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" ||
         name == "transfer-encoding" || name == "upgrade" || name == "te";
}

// A name or value that would break the peer's parser is dropped, as if it had not been set.
bool is_valid(std::string_view name, std::string_view value) {
  const nghttp2_nv nv = http2_field(name, value);
  return nghttp2_check_header_name(nv.name, nv.namelen) != 0 &&
         nghttp2_check_header_value(nv.value, nv.valuelen) != 0;
}

}  // namespace

nghttp2_nv http2_field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::vector<nghttp2_nv> http2_fields(const Headers& headers) {
  std::vector<nghttp2_nv> fields;
  fields.reserve(headers.fields.size() + 6);
  for (const auto& [name, value] : headers.fields) {
    if (!is_hop_by_hop(name) && is_valid(name, value)) {
      fields.push_back(http2_field(name, value));
    }
  }
  return fields;
}

}  // namespace thaw::net::detail
