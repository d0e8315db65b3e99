// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/payload_body.h"

#include <utility>

#include "thaw/net/body_length.h"

namespace thaw::gateway {

using async::Task;
using model::Payload;

namespace {

// So much of a large body is in memory: each piece is a turn of the pool.
constexpr std::size_t most_unwritten = 1u << 20;
constexpr std::size_t piece_bytes = 256u << 10;

}  // namespace

Task<Payload> receive_body(net::HttpExchange& exchange, queue::Payloads& payloads,
                           model::WorkspaceId workspace, std::size_t most_inline,
                           std::uint64_t most_bytes) {
  THAW_CO_TRY_VOID(net::check_body_length(exchange.request(), most_bytes));
  Payload payload;
  std::unique_ptr<store::BlobStore::Writer> writer;
  std::uint64_t received = 0;
  std::size_t counted = 0;  // to its peer
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      break;
    }
    received += piece->size();
    if (received > most_bytes) {
      co_return net::body_too_large(most_bytes);
    }
    if (payload.bytes.size() + piece->size() > counted) {
      const std::size_t more = payload.bytes.size() + piece->size() - counted;
      THAW_CO_TRY_VOID(exchange.keep(more));
      counted += more;
    }
    if (payload.bytes.empty()) {
      payload.bytes = std::move(*piece);
    } else {
      payload.bytes += *piece;
    }
    if (!writer && payload.bytes.size() > most_inline && payloads.has_place()) {
      THAW_CO_TRY(writer, payloads.create(workspace));
    }
    if (writer && payload.bytes.size() >= most_unwritten) {
      THAW_CO_TRY_VOID(co_await writer->write(std::exchange(payload.bytes, {})));
    }
  }
  if (writer) {
    THAW_CO_TRY_VOID(co_await writer->write(std::exchange(payload.bytes, {})));
    THAW_CO_TRY(payload.rest, co_await payloads.seal(workspace, std::move(writer)));
  }
  co_return payload;
}

Task<void> answer_with(net::HttpExchange& exchange, int status, net::Headers headers,
                       queue::Payloads& payloads, model::WorkspaceId workspace, Payload payload) {
  THAW_CO_TRY(const auto rest, payloads.open_rest(workspace, payload));
  const bool has_body = exchange.request().method != "HEAD";
  headers.add("content-length", std::to_string(payload.length()));
  if (!rest || !has_body) {
    co_return co_await exchange.respond_whole(status, std::move(headers),
                                              has_body ? std::move(payload.bytes) : std::string());
  }
  THAW_CO_TRY_VOID(co_await exchange.respond(status, std::move(headers)));
  if (!payload.bytes.empty()) {
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(payload.bytes)));
  }
  while (true) {
    THAW_CO_TRY(std::string piece, co_await rest->read(piece_bytes));
    if (piece.empty()) {
      co_return co_await exchange.finish();
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
}

}  // namespace thaw::gateway
