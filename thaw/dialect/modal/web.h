// SPDX-License-Identifier: Apache-2.0
//
// Web endpoints. A request to an event-stream function (FastAPI, ASGI, WSGI) is a call whose input
// is the pickled ASGI scope; the body flows to the container and the answer back as ASGI events,
// each way through a small bounded channel, so that neither side can outrun the other. A request to
// a web_server function goes straight to the container's own port.
#pragma once

#include <memory>
#include <string>

#include "thaw/async/channel.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/calls.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// One request in flight; shared by the exchange's task and the container's RPCs.
struct WebRequest {
  async::Channel<pb::Asgi> to_container{async::Capacity{4}};
  async::Channel<pb::Asgi> from_container{async::Capacity{8}};
  std::uint64_t last_in = 0;   // index of the last event that the container was sent
  std::uint64_t last_out = 0;  // and of the last that it sent
};

// The address on loopback that is this function's own host, where that is how it has one.
std::string loopback_host(Context& cx, const std::string& label,
                          const model::WorkspaceId& workspace);
// Serves /web/<label>/….
async::Task<void> serve_web(Context& cx, net::HttpExchange& exchange);
// Serves a request to the function of a label: 404 if there is none.
async::Task<void> serve_web_label(Context& cx, net::HttpExchange& exchange, std::string label,
                                  std::string root_path);

}  // namespace thaw::dialect::modal
