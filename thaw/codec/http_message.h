// SPDX-License-Identifier: Apache-2.0
//
// One whole HTTP request or response as bytes, in the form of application/http (RFC 9112, 10.2):
// what a call holds whose function is an HTTP server. The body is what follows the empty line,
// whatever its headers say of its length. Pure; reading trusts nothing.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::codec {

inline constexpr std::string_view http_content_type = "application/http";

// Lower-case names; repeated names stay separate.
using HttpFields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequestMessage {
  std::string method = "GET";
  std::string target = "/";  // path and query
  HttpFields headers;
  std::string body;
};

struct HttpResponseMessage {
  int status = 200;
  HttpFields headers;
  std::string body;
};

// invalid_argument: a method, target, name or value that would not be read as itself.
Result<std::string> write_http(const HttpRequestMessage& message);
Result<std::string> write_http(const HttpResponseMessage& message);
// invalid_argument says what is wrong. A head of at most 256 KiB and 1000 fields.
Result<HttpRequestMessage> read_http_request(std::string_view bytes);
Result<HttpResponseMessage> read_http_response(std::string_view bytes);

}  // namespace thaw::codec
