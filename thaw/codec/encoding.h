// SPDX-License-Identifier: Apache-2.0
//
// Small text encodings, pure: base64 (OpenSSL), percent-decoding, hex.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::codec {

std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);  // only what an encoder writes
// URL-safe alphabet without padding, as JWTs use.
std::string base64url_encode(std::string_view bytes);
Result<std::string> base64url_decode(std::string_view text);  // only what an encoder writes
std::string hex_encode(std::string_view bytes);
Result<std::string> hex_decode(std::string_view text);
// A bad escape stays as it is, as web servers do.
std::string percent_decode(std::string_view text);
// The value of `name` in a query string, decoded; empty if absent.
std::string query_value(std::string_view query, std::string_view name);

}  // namespace thaw::codec
