// SPDX-License-Identifier: Apache-2.0
//
// Writing HTTP/1.1: heads, chunk heads, and which headers belong to one connection only. Pure.
#pragma once

#include <string>
#include <string_view>

#include "thaw/net/http.h"

namespace thaw::net::detail {

class HeadWriter {
 public:
  explicit HeadWriter(int status);
  // Method and target have passed check_request_line().
  HeadWriter(std::string_view method, std::string_view target);

  // Fields behind `text`, which ends a line.
  explicit HeadWriter(std::string_view text) : text_(text) {}

  void add(std::string_view name, std::string_view value);
  // internal if a name or value would end the line early (header injection).
  Result<void> add_checked(std::string_view name, std::string_view value);
  std::string end() &&;

 private:
  std::string text_;
};

// internal if the method is no token, or the target has characters that would end it.
Result<void> check_request_line(std::string_view method, std::string_view target);
// connection, keep-alive, transfer-encoding and the like: about one connection, never forwarded.
bool is_hop_by_hop(std::string_view name);
// May be sent again when nobody knows whether it has arrived (RFC 9110, 9.2.2).
bool is_idempotent(std::string_view method);
// "1f4\r\n".
std::string chunk_head(std::size_t size);
// The fields that may come behind a body, whatever the wire: what decides how a message is framed,
// routed or trusted has been decided by then (RFC 9110, 6.5.1).
Headers proxied_trailers(const Headers& trailers);
// The end of a chunked body, with the fields of `trailers` that may stand there.
std::string last_chunk(const Headers& trailers);
// The value of the date header for now.
std::string http_date(WallTime now);

}  // namespace thaw::net::detail
