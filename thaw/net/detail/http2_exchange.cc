// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_exchange.h"

#include "thaw/base/log.h"
#include "thaw/net/detail/authority.h"
#include "thaw/net/detail/content_length.h"

namespace thaw::net::detail {

namespace {

constexpr std::size_t piece_bytes = 64u << 10;

class Http2Exchange : public HttpExchange {
 public:
  Http2Exchange(Http2Session& session, Http2Stream& stream) : stream_(stream) {
    HttpRequest& request = stream_.request();
    request.version = "2";
    request.peer = session.peer();
    if (request.authority.empty()) {
      request.authority = request.headers.find("host").value_or("");
    }
  }

  const HttpRequest& request() const override { return stream_.request(); }

  async::Task<std::optional<std::string>> read() override {
    if (!continued_ && !responded() && request().headers.find("expect") == "100-continue") {
      continued_ = true;
      stream_.send_continue();
    }
    return stream_.read(piece_bytes);
  }

  async::Task<void> respond(int status, Headers headers) override {
    if (responded()) {
      co_return Error::internal("an exchange was answered twice");
    }
    const bool bodyless = request().method == "HEAD" || status == 204 || status == 304;
    const auto length = content_length_of(headers);
    if (!length) {
      co_return Error::internal("of an answer: " + length.error().message());
    }
    has_length_ = length->has_value() && !bodyless;
    length_left_ = length->value_or(0);
    stream_.send_head(status, headers,
                      bodyless ? Http2Stream::Body::none : Http2Stream::Body::follows);
    if (stream_.gone()) {
      co_return Error::cancelled("the peer of this request has gone away");
    }
    co_return ok();
  }

  async::Task<void> write(std::string data) override {
    if (data.empty() || (request().method == "HEAD" && stream_.ended())) {
      co_return ok();
    }
    if (has_length_ && data.size() > length_left_) {
      stream_.break_off();
      co_return Error::internal("the answer is longer than its content-length");
    }
    length_left_ -= has_length_ ? data.size() : 0;
    std::vector<std::string_view> pieces{data};
    co_return co_await stream_.send(std::move(pieces));
  }

  async::Task<void> finish() override {
    if (has_length_ && length_left_ > 0) {
      stream_.break_off();
      co_return Error::internal("the answer is shorter than its content-length");
    }
    stream_.send_end(std::move(answer_trailers_));
    co_return ok();
  }
  void set_trailers(Headers trailers) override { answer_trailers_ = std::move(trailers); }

  // Of an answer without a body the head is the end.
  bool respond_at_once(int status, const Headers& headers, std::string& body) override {
    const auto length = content_length_of(headers);
    const bool is_empty = length && length->value_or(0) == 0 && body.empty();
    if (!is_empty || responded() || stream_.gone()) {
      return false;
    }
    stream_.send_head(status, headers, Http2Stream::Body::none);
    return true;
  }

  const Headers& trailers() const override { return stream_.request_trailers; }
  bool is_read() const override { return stream_.is_read(); }

  bool responded() const override { return stream_.head_sent(); }
  async::Task<void> until_gone() override { return stream_.until_gone(); }

  bool is_websocket_upgrade() const override { return false; }
  async::Task<std::unique_ptr<WebSocket>> accept_websocket(std::string, Headers) override {
    co_return Error::unimplemented("WebSockets are served over HTTP/1.1 only");
  }

 private:
  Http2Stream& stream_;
  Headers answer_trailers_;
  bool continued_ = false;
  bool has_length_ = false;
  std::uint64_t length_left_ = 0;
};

}  // namespace

async::Task<void> serve_http(Http2Session& session, std::shared_ptr<Http2Stream> stream) {
  Http2Exchange exchange(session, *stream);
  if (stream->header_overflow) {
    Headers none;
    stream->send_head(431, none, Http2Stream::Body::none);
    co_return ok();
  }
  if (stream->refusal()) {
    (void)co_await exchange.answer_error(*stream->refusal());
    stream->linger();
    co_return ok();
  }
  Result<void> outcome = check_authority(exchange.request().authority, "the :authority");
  if (outcome) {
    outcome = co_await session.service().handler(exchange);
  }
  if (!stream->head_sent()) {
    if (outcome) {
      outcome = Error::internal("the handler has not answered");
    }
    outcome = co_await exchange.answer_error(outcome.error());
  }
  if (!stream->gone() && !outcome) {
    // The head is out; a cut stream is all that still tells of the failure.
    stream->break_off();
  } else if (!stream->gone()) {
    outcome = co_await exchange.finish();
    stream->linger();
  }
  co_return outcome;
}

}  // namespace thaw::net::detail
