// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/server_port.h"

#include <utility>

namespace thaw::worker {

namespace {

constexpr std::size_t most_whole_bytes = 64u << 20;

}  // namespace

// For ports that have no wire.
async::Task<codec::HttpResponseMessage> ServerPort::ask_in_pieces(codec::HttpRequestMessage request,
                                                                  Bodies& bodies) {
  while (bodies.request_bytes() > 0) {
    THAW_CO_TRY(const std::string piece, co_await bodies.next());
    if (piece.empty()) {
      break;
    }
    request.body += piece;
  }
  THAW_CO_TRY(codec::HttpResponseMessage answer,
              co_await ask(std::move(request), most_whole_bytes, Instant::max()));
  THAW_CO_TRY_VOID(co_await bodies.take(std::exchange(answer.body, {})));
  co_return answer;
}

}  // namespace thaw::worker
