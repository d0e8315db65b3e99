// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_proxy.h"

#include <optional>

#include "thaw/async/task_group.h"
#include "thaw/net/detail/http1_head.h"
#include "thaw/net/detail/http1_parser.h"
#include "thaw/net/detail/http1_proxy.h"
#include "thaw/net/detail/http2_fields.h"

namespace thaw::net::detail {

namespace {

// How long a client waits unwatched.
constexpr Duration watch_after = 100ms;
// Of a body, what is kept to be sent again to a server that has refused it unseen.
constexpr std::size_t replayed_bytes = 64u << 10;
constexpr int most_tries = 3;

class Http2Proxy {
 public:
  Http2Proxy(std::shared_ptr<Http2Pool> pool, HttpExchange& exchange)
      : pool_(std::move(pool)),
        exchange_(exchange),
        watch_alarm_([this] { watch_task_ = tasks().start("proxy watch", watch()); }) {}
  Http2Proxy(const Http2Proxy&) = delete;
  Http2Proxy& operator=(const Http2Proxy&) = delete;

  // `endpoint` and `options` outlive the task.
  async::Task<void> carry(const Endpoint& endpoint, const ProxyOptions& options) {
    const HttpRequest& request = exchange_.request();
    if (exchange_.is_websocket_upgrade()) {
      co_return Error::unimplemented(
          "the server inside speaks HTTP/2, by which WebSockets are not carried here");
    }
    THAW_CO_TRY(ProxiedHead head, proxied_head(request, options));
    THAW_CO_TRY_VOID(check_request_line(request.method, head.target));
    if (head.body == ProxiedHead::Body::unknown && is_idempotent(request.method) &&
        !exchange_.is_read()) {
      // Most of these have none, and a server may take a body that is only announced for one.
      THAW_CO_TRY(std::optional<std::string> first, co_await exchange_.read());
      is_body_read_ = !first;
      kept_ = std::move(first).value_or("");
    }
    is_body_read_ = is_body_read_ || head.body == ProxiedHead::Body::none ||
                    (head.body == ProxiedHead::Body::length && head.length == 0) ||
                    (head.body == ProxiedHead::Body::unknown && exchange_.is_read());
    const Headers headers = headers_of(head, request);
    const bool has_body = !is_body_read_ || !kept_.empty();
    const auto fields = http2_request(request.method, head.target, request.authority, headers);
    pool_->timer().arm(watch_alarm_, monotonic_now() + watch_after);
    for (int tries = 1;; ++tries) {
      THAW_CO_TRY(auto client, co_await pool_->take(endpoint, options.deadline));
      if (client_gone_) {
        co_return Error::cancelled("the client has gone away");
      }
      const bool was_used = client->was_used();
      using Body = Http2Client::Body;
      THAW_CO_TRY(call_,
                  client->begin(fields, has_body ? Body::follows : Body::none, options.deadline));
      if (has_body) {
        begin_body();
      }
      client->flush();
      const Result<void> answered = co_await call_->until_head();
      if (answered) {
        break;
      }
      // A kept connection may have been closed by the server while this was on its way to it.
      const bool is_lost = was_used && !call_->has_begun() && !has_body &&
                           is_idempotent(request.method) && !client->is_open();
      if (tries == most_tries || !is_replayable_ || client_gone_ ||
          !(call_->was_refused() || is_lost)) {
        co_return answered.error();
      }
    }
    co_return co_await answer(options);
  }

  // What carry() has begun ends; `result` is its own.
  async::Task<void> end(Result<void> result) {
    watch_alarm_.disarm();
    if (call_) {
      call_->cancel();  // does nothing once both sides have said all
    }
    if (tasks_) {
      THAW_CO_TRY_VOID(co_await tasks_->stop());
    }
    if (client_gone_) {
      co_return Error::cancelled("the client has gone away");
    }
    if (body_error_) {
      co_return *body_error_;
    }
    co_return result;
  }

 private:
  static Headers headers_of(const ProxiedHead& head, const HttpRequest& request) {
    Headers headers;
    for (const auto& [name, value] : head.headers) {
      if (name != "host") {
        headers.add(std::string(name), std::string(value));
      }
    }
    if (head.body == ProxiedHead::Body::length) {
      headers.add("content-length", std::to_string(head.length));
    }
    takes_trailers(request, headers);
    return headers;
  }
  // By it a client says that it understands trailers, and servers of gRPC ask for it; it is about a
  // connection, and so it is said anew.
  static void takes_trailers(const HttpRequest& request, Headers& headers) {
    if (has_token(request.headers, "te", "trailers")) {
      headers.add("te", "trailers");
    }
  }

  // Sends again what has been read of it, and goes on.
  void begin_body() {
    if (!kept_.empty()) {
      call_->queue(kept_);
    }
    if (is_body_read_) {
      call_->end(proxied_trailers(exchange_.trailers()));
    } else if (!body_task_.running()) {
      body_task_ = tasks().start("proxy body", send_body());
    }
  }

  async::Task<void> send_body() {
    while (true) {
      Result<std::optional<std::string>> piece = co_await exchange_.read();
      if (!piece) {
        // Half a request must not look like a whole one.
        if (piece.error().code() != Code::cancelled) {
          body_error_ = piece.error();
        }
        call_->cancel();
        co_return ok();
      }
      if (!*piece) {
        is_body_read_ = true;
        call_->end(proxied_trailers(exchange_.trailers()));
        co_return ok();
      }
      is_replayable_ = is_replayable_ && kept_.size() + (*piece)->size() <= replayed_bytes;
      if (is_replayable_) {
        kept_ += **piece;
      }
      const auto call = call_;
      const Result<void> written = co_await call->write(std::move(**piece));
      if (!written && call == call_) {
        // The server takes no more; it may have answered why, or be asked again.
        co_return ok();
      }
    }
  }

  async::Task<void> answer(const ProxyOptions& options) {
    Headers headers = proxied_answer(std::move(call_->headers));
    if (options.edit_answer) {
      options.edit_answer(headers);
    }
    const int status = call_->status;
    std::optional<std::string> piece;
    if (call_->is_whole()) {
      THAW_CO_TRY(piece, co_await call_->read());
      if (call_->trailers.fields.empty() && !call_->has_more()) {
        // Without a body it is of gRPC an answer of its own kind, with all in its one head.
        if (piece && !headers.find("content-length") && has_body_of_answer(status)) {
          headers.add("content-length", std::to_string(piece->size()));
        }
        co_return co_await exchange_.respond_whole(status, std::move(headers),
                                                   std::move(piece).value_or(""));
      }
    }
    THAW_CO_TRY_VOID(co_await exchange_.respond(status, std::move(headers)));
    while (true) {
      if (!piece) {
        THAW_CO_TRY(piece, co_await call_->read());
      }
      if (!piece) {
        break;
      }
      THAW_CO_TRY_VOID(co_await exchange_.write(std::move(*piece)));
      piece.reset();
    }
    exchange_.set_trailers(proxied_trailers(call_->trailers));
    co_return co_await exchange_.finish();
  }

  bool has_body_of_answer(int status) const {
    return exchange_.request().method != "HEAD" && status != 204 && status != 304;
  }

  async::Task<void> watch() {
    THAW_CO_TRY_VOID(co_await exchange_.until_gone());
    client_gone_ = true;
    if (call_) {
      call_->cancel();
    }
    co_return ok();
  }

  async::TaskGroup& tasks() {
    if (!tasks_) {
      tasks_.emplace(pool_->loop());
    }
    return *tasks_;
  }

  std::shared_ptr<Http2Pool> pool_;
  HttpExchange& exchange_;
  std::shared_ptr<Http2Call> call_;
  CoarseTimer::Alarm watch_alarm_;
  async::TaskGroup::Handle watch_task_;
  async::TaskGroup::Handle body_task_;
  std::string kept_;  // all that has been read of the body, while it is replayable
  bool is_replayable_ = true;
  bool is_body_read_ = false;
  bool client_gone_ = false;
  std::optional<Error> body_error_;  // why the rest of the request will not come
  std::optional<async::TaskGroup> tasks_;
};

}  // namespace

std::vector<nghttp2_nv> http2_request(std::string_view method, std::string_view target,
                                      std::string_view authority, const Headers& headers) {
  std::vector<nghttp2_nv> fields = http2_fields(headers);
  const nghttp2_nv own[] = {http2_field(":method", method), http2_field(":scheme", "http"),
                            http2_field(":path", target), http2_field(":authority", authority)};
  fields.insert(fields.begin(), std::begin(own), std::end(own));
  if (headers.find("te")) {
    fields.push_back(http2_field("te", "trailers"));
  }
  return fields;
}

async::Task<void> run_http2_proxy(std::shared_ptr<Http2Pool> pool, HttpExchange& exchange,
                                  Endpoint endpoint, ProxyOptions options) {
  Http2Proxy proxy(std::move(pool), exchange);
  Result<void> result = co_await proxy.carry(endpoint, options);
  result = co_await proxy.end(std::move(result));
  co_return result;
}

}  // namespace thaw::net::detail
