// SPDX-License-Identifier: Apache-2.0
//
// Web endpoints. A request to an event-stream function (FastAPI, ASGI, WSGI) is a call whose input
// is the pickled ASGI scope; the body flows to the container and the answer back as ASGI events,
// each way through a small bounded channel, so that neither side can outrun the other. What of a
// body waits for a container that is behind becomes one event, so that it catches up. A client
// that goes away is told to the application as the last event, at whatever stage it is. A request
// to a web_server function goes straight to the container's own port.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "thaw/async/channel.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/calls.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// One request, from its arrival to the end of its call; shared by the exchange's task, the task
// that waits for the end of the call, and the container's RPCs.
struct WebRequest {
  async::Channel<pb::Asgi> to_container{async::Capacity{16}};
  std::size_t bytes_ahead = 0;  // in to_container
  async::Event bytes_taken;
  async::Channel<pb::Asgi> from_container{async::Capacity{8}};
  std::uint64_t last_in = 0;   // index of the last event that the container was sent
  std::uint64_t last_out = 0;  // and of the last that it sent
  bool is_websocket = false;
  bool is_announced = false;        // something of its body is in to_container, or was
  std::optional<Error> bad_body;    // what is wrong with the rest of it
  pb::FunctionGetOutputsItem last;  // the call's output, once it is over
  bool is_over = false;
  async::Event over;

  // What was sent to a container, for another one that gets the call when that dies before its
  // answer began. Kept while it is little; what is more is not repeated.
  model::ContainerId container;
  std::deque<std::pair<std::uint64_t, pb::Asgi>> sent;
  std::size_t sent_bytes = 0;
  bool is_repeatable = true;

  // Bytes of its answer that the client has not taken; what comes next waits.
  std::size_t unsent_bytes = 0;
  std::size_t waiting = 0;  // events that wait
  async::Event taken;

  bool is_left = false;  // by its client
  Instant left_at{};
  int close_code = 1006;      // of a WebSocket
  bool is_told = false;       // the container knows
  bool is_cancelled = false;  // it took no notice
  // After what is on its way the container is told that there is nobody any more.
  void leave() {
    if (!is_left) {
      is_left = true;
      left_at = monotonic_now();
    }
    close_events();
  }
  void close_events() {
    to_container.close();
    bytes_taken.notify_all();
  }
  void close_answers() {
    from_container.close();
    taken.notify_all();
  }
};

// Serves a request to the function of a label.
async::Task<void> serve_web_target(Context& cx, net::HttpExchange& exchange,
                                   gateway::WebTarget target);

}  // namespace thaw::dialect::modal
