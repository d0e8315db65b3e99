// SPDX-License-Identifier: Apache-2.0
//
// The bodies of HTTP exchanges as payloads of calls, and the other way round: what is large goes to
// a blob of the workspace on its way, and from one, in pieces, and is never in memory as a whole.
// Loop thread only.
#pragma once

#include <cstdint>

#include "thaw/net/http.h"
#include "thaw/queue/payloads.h"

namespace thaw::gateway {

// The whole body of a request. Past `most_inline` bytes it is a rest, else bytes. Its type and
// encoding are the caller's to say. out_of_range: it is larger than `most_bytes`;
// resource_exhausted: the workspace has no room. The exchange and `payloads` outlive it.
async::Task<model::Payload> receive_body(net::HttpExchange& exchange, queue::Payloads& payloads,
                                         model::WorkspaceId workspace, std::size_t most_inline,
                                         std::uint64_t most_bytes);

// Answers with the bytes of a payload, of the length that it has. data_loss before anything is
// answered: its blob is gone.
async::Task<void> answer_with(net::HttpExchange& exchange, int status, net::Headers headers,
                              queue::Payloads& payloads, model::WorkspaceId workspace,
                              model::Payload payload);

}  // namespace thaw::gateway
