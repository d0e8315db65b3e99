// SPDX-License-Identifier: Apache-2.0
//
// Headers as nghttp2 takes them. Nothing is copied: what they name stays where it is until nghttp2
// has got them. Pure.
#pragma once

#include <nghttp2/nghttp2.h>

#include <string_view>
#include <vector>

#include "thaw/net/http.h"

namespace thaw::net::detail {

nghttp2_nv http2_field(std::string_view name, std::string_view value);

// Without those that are about one connection only, and those that would break the peer's parser.
std::vector<nghttp2_nv> http2_fields(const Headers& headers);

}  // namespace thaw::net::detail
