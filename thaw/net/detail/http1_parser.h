// SPDX-License-Identifier: Apache-2.0
//
// Http1Parser: bytes of one HTTP/1.1 connection to heads and body pieces, for either side. Pure: no
// I/O; the caller owns the buffer and presents unconsumed bytes again. It refuses everything that
// two parsers could read differently (request smuggling): both content-length and
// transfer-encoding, codings other than chunked, either header twice, folded lines of requests,
// chunk sizes beyond any body, bare line feeds, a Host that is repeated, missing or none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/net/http.h"

namespace thaw::net::detail {

struct Http1Head {
  std::string method;  // requests
  std::string target;  // requests, as sent
  int status = 0;      // responses
  int minor_version = 1;
  Headers headers;
};

class Http1Parser {
 public:
  enum class Role { request, response };
  Http1Parser(Role role, std::size_t header_bytes);
  ~Http1Parser();

  // Ready for the next message of the connection.
  void reset();
  // The next response answers a HEAD: whatever its headers say, it has no body.
  void expect_no_body();

  // How many bytes of `input` were used; 0 until the head is whole. invalid_argument: malformed;
  // resource_exhausted: the head is too large; unimplemented: an unknown transfer coding.
  Result<std::size_t> put_head(std::string_view input);
  // Appends body bytes to `body`; returns how many bytes of `input` were used.
  Result<std::size_t> put_body(std::string_view input, std::string& body);
  // The peer has ended its stream: an error unless the message may end so.
  Result<void> put_eof();

  bool head_done() const;
  bool done() const;
  Http1Head& head();
  // What stood behind a chunked body, once done().
  const Headers& trailers() const;
  bool keep_alive() const;
  bool chunked() const;
  std::size_t chunk_left() const;  // of the chunk that is being read
  std::optional<std::uint64_t> content_length() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// True if the comma-separated list in any header `name` has `token` (lower-case).
bool has_token(const Headers& headers, std::string_view name, std::string_view token);
// All of them, in lower case and sorted: for who asks for many.
std::vector<std::string> tokens_of(const Headers& headers, std::string_view name);

}  // namespace thaw::net::detail
