// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_body.h"

#include <algorithm>

namespace thaw::net::detail {

namespace {

// What is decoded before the clock is looked at: chunks of one byte are dear.
constexpr std::size_t window_bytes = 8u << 10;

}  // namespace

Result<bool> decode_buffered(Stream& stream, Http1Parser& parser, std::string& piece) {
  // Of little that is nobody's turn the time is not asked.
  const bool is_timed = stream.takes_turns() || stream.buffered().size() > window_bytes;
  const auto clock = [is_timed] { return is_timed ? monotonic_now() : Instant{}; };
  const Instant began = clock();
  Instant now = began;
  bool goes_on = true;
  while (!parser.done() && !stream.buffered().empty() && now - began < Turns::slice) {
    const std::string_view input = stream.buffered();
    const std::string_view window =
        parser.chunked() ? input.substr(0, std::max(window_bytes, parser.chunk_left())) : input;
    THAW_TRY(std::size_t used, parser.put_body(window, piece));
    if (used == 0 && window.size() < input.size()) {
      THAW_TRY(used, parser.put_body(input, piece));
    }
    stream.consume(used);
    now = clock();
    goes_on = used > 0;
    if (!goes_on) {
      break;
    }
  }
  stream.worked(now - began, now);
  return goes_on && !stream.buffered().empty();
}

async::Task<std::optional<std::string>> read_body(std::shared_ptr<Stream> stream,
                                                  Http1Parser& parser) {
  std::string piece;
  while (!parser.done()) {
    if (!stream->buffered().empty()) {
      THAW_CO_TRY(const bool goes_on, decode_buffered(*stream, parser, piece));
      if (!piece.empty()) {
        co_return piece;
      }
      if (goes_on && !parser.done()) {
        // Only its time was over: more bytes may never come.
        THAW_CO_TRY_VOID(co_await stream->take_turn());
        continue;
      }
      if (parser.done()) {
        break;
      }
    }
    const Result<bool> more = co_await stream->fill(piece_bytes, Stream::Hope::soon);
    if (!more && more.error().code() == Code::resource_exhausted) {
      co_return Error::invalid_argument("a line between two chunks is too long");
    }
    if (!more) {
      co_return more.error();
    }
    if (!*more) {
      THAW_CO_TRY_VOID(parser.put_eof());
    }
  }
  co_return std::nullopt;
}

}  // namespace thaw::net::detail
