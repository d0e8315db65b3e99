// SPDX-License-Identifier: Apache-2.0
//
// Where nghttp2 (C, callbacks) meets Http2Session. Callbacks only note what happened in the session
// and its streams; nothing waits, and no handler runs inside them.
#pragma once

#include <nghttp2/nghttp2.h>

#include "thaw/net/server.h"

namespace thaw::net::detail {

class Http2Session;

// Options, limits and callbacks set; owned by the caller (nghttp2_session_del).
nghttp2_session* new_http2_server(Http2Session* session, const ServerLimits& limits);

}  // namespace thaw::net::detail
