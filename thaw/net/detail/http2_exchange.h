// SPDX-License-Identifier: Apache-2.0
//
// The tasks that answer one HTTP/2 stream: as a gRPC call through the method table, or as an
// HttpExchange through the HTTP handler. Both live in the session's task group, answer exactly
// once, and end quietly when the stream is gone.
#pragma once

#include <memory>

#include "thaw/async/task.h"
#include "thaw/net/detail/http2_session.h"
#include "thaw/net/detail/http2_stream.h"

namespace thaw::net::detail {

async::Task<void> serve_grpc(Http2Session& session, std::shared_ptr<Http2Stream> stream);
async::Task<void> serve_http(Http2Session& session, std::shared_ptr<Http2Stream> stream);

}  // namespace thaw::net::detail
