// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_proxy.h"

#include <algorithm>
#include <optional>

#include "thaw/async/task_group.h"
#include "thaw/net/detail/http1_body.h"
#include "thaw/net/detail/http1_head.h"

namespace thaw::net::detail {

namespace {

using Body = ProxiedHead::Body;

// A body up to this size is sent before the answer is awaited, in the same task.
constexpr std::uint64_t inline_body_bytes = 64u << 10;
// How long a client waits unwatched.
constexpr Duration watch_after = 100ms;
// After one side of a tunnel has ended, how long the other may go on.
constexpr Duration tunnel_end_time = 10s;

class Proxy {
 public:
  Proxy(std::shared_ptr<ClientPool> pool, HttpExchange& exchange)
      : pool_(std::move(pool)), exchange_(exchange), watch_alarm_([this] { start_watching(); }) {
    ++pool_->exchanges;
  }
  ~Proxy() { --pool_->exchanges; }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // `endpoint` and `options` outlive the task.
  async::Task<void> carry(const Endpoint& endpoint, const ProxyOptions& options) {
    const Instant started = monotonic_now();
    const HttpRequest& request = exchange_.request();
    deadline_ = options.deadline;
    edit_answer_ = &options.edit_answer;
    THAW_CO_TRY(ProxiedHead head, proxied_head(request, options));
    std::optional<std::string> first;
    if (head.body == Body::unknown) {
      THAW_CO_TRY(first, co_await exchange_.read());
      head.body = first ? Body::chunked : Body::none;
    }
    THAW_CO_TRY(const std::string text, render(head, request));
    pool_->timer().arm(watch_alarm_, started + watch_after);
    // Retries once on a fresh connection if a kept one turns out to have been closed meanwhile, and
    // the request may safely run twice.
    const bool replayable = head.body == Body::none && is_idempotent(request.method);
    upstream_ = pool_->take(endpoint, options.deadline,
                            replayable ? ClientPool::Check::seen : ClientPool::Check::asked);
    while (true) {
      if (!upstream_) {
        THAW_CO_TRY(upstream_, co_await pool_->open(endpoint, options.deadline));
      }
      if (client_gone_) {
        co_return Error::cancelled("the client has gone away");
      }
      const bool is_inline = head.body == Body::length && head.length <= inline_body_bytes;
      if (head.body == Body::none || (head.body == Body::length && head.length == 0)) {
        body_sent_ = true;
        (void)upstream_->stream->send(text, pool_->exchanges);
      } else if (upstream_->stream->queue(text); is_inline) {
        THAW_CO_TRY_VOID(co_await send_body(head.body, std::move(first)));
      } else {
        tasks().start("proxy body", send_body_beside(head.body, std::move(first)));
      }
      THAW_CO_TRY(const bool answered,
                  co_await read_final_head(*upstream_, request.method == "HEAD"));
      if (answered) {
        break;
      }
      if (!upstream_->reused || !replayable) {
        co_return Error::unavailable("the server closed the connection without an answer");
      }
      upstream_.reset();
    }
    if (upstream_->parser.head().status == 101) {
      co_return co_await tunnel(head);
    }
    co_return co_await answer();
  }

  // What carry() has begun ends; `result` is its own.
  async::Task<void> end(Result<void> result) {
    watch_alarm_.disarm();
    if (tasks_) {
      if (upstream_) {
        upstream_->stream->abort();
      }
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
  // end() has nothing to do.
  bool is_over() {
    watch_alarm_.disarm();
    return !tasks_ && !client_gone_ && !body_error_;
  }

 private:
  async::Task<void> send_body(Body framing, std::optional<std::string> first) {
    Stream& stream = *upstream_->stream;
    std::optional<std::string> piece = std::move(first);
    while (true) {
      if (!piece) {
        THAW_CO_TRY(piece, co_await exchange_.read());
      }
      if (!piece) {
        break;
      }
      if (framing == Body::chunked) {
        stream.append(chunk_head(piece->size()));
        stream.append(std::move(*piece));
        *piece = "\r\n";
      }
      const Result<void> written = co_await stream.write(std::move(*piece));
      piece.reset();
      if (!written) {
        // The server takes no more; it may have answered why.
        co_return ok();
      }
    }
    if (framing == Body::chunked) {
      stream.append(last_chunk(exchange_.trailers()));
    }
    body_sent_ = true;
    (void)co_await stream.flush();
    co_return ok();
  }

  async::Task<void> send_body_beside(Body framing, std::optional<std::string> first) {
    const Result<void> sent = co_await send_body(framing, std::move(first));
    if (!sent) {
      // Half a request must not look like a whole one.
      body_error_ = sent.error();
      upstream_->stream->abort();
    }
    co_return ok();
  }

  async::Task<void> answer() {
    Http1Parser& parser = upstream_->parser;
    Headers headers = proxied_answer(std::move(parser.head().headers));
    if (*edit_answer_) {
      (*edit_answer_)(headers);
    }
    const int status = parser.head().status;
    std::string body;
    const Result<bool> decoded = decode_buffered(*upstream_->stream, parser, body);
    if (parser.done()) {
      release();
      co_return co_await exchange_.respond_whole(status, std::move(headers), std::move(body));
    }
    THAW_CO_TRY_VOID(co_await exchange_.respond(status, std::move(headers)));
    if (!body.empty()) {
      THAW_CO_TRY_VOID(co_await exchange_.write(std::move(body)));
    }
    THAW_CO_TRY_VOID(decoded);
    while (true) {
      THAW_CO_TRY(std::optional<std::string> piece, co_await read_body(upstream_->stream, parser));
      if (!piece) {
        break;
      }
      THAW_CO_TRY_VOID(co_await exchange_.write(std::move(*piece)));
    }
    release();
    co_return co_await exchange_.finish();
  }

  // The server may serve its next request while this answer is on its way.
  void release() {
    if (body_sent_) {
      pool_->give_back(std::move(upstream_));
    }
  }

  async::Task<void> tunnel(const ProxiedHead& head) {
    if (!head.upgrade) {
      co_return Error::unavailable("the server has switched protocols without being asked");
    }
    // From here on the client's end is one of the bytes' two ends, and no reason to hurry.
    watch_alarm_.disarm();
    watch_task_.cancel();
    Headers headers = proxied_answer(std::move(upstream_->parser.head().headers));
    headers.add("connection", "upgrade");
    headers.add("upgrade", "websocket");
    THAW_CO_TRY(client_bytes_, co_await exchange_.switch_protocols(std::move(headers)));
    server_bytes_ = std::make_unique<StreamBytes>(upstream_->stream);
    tasks().start("tunnel", pump_to_server());
    THAW_CO_TRY_VOID(co_await pump(*server_bytes_, *client_bytes_));
    THAW_CO_TRY([[maybe_unused]] const bool ended,
                co_await tasks().join(monotonic_now() + tunnel_end_time));
    co_return ok();
  }

  async::Task<void> pump_to_server() {
    const Result<void> pumped = co_await pump(*client_bytes_, *server_bytes_);
    if (pumped) {
      upstream_->stream->set_deadline(std::min(deadline_, monotonic_now() + tunnel_end_time));
    } else {
      upstream_->stream->close();
    }
    co_return ok();
  }

  static async::Task<void> pump(ByteStream& from, ByteStream& to) {
    while (true) {
      THAW_CO_TRY(std::optional<std::string> bytes, co_await from.read());
      if (!bytes) {
        co_return co_await to.finish();
      }
      THAW_CO_TRY_VOID(co_await to.write(std::move(*bytes)));
    }
  }

  void start_watching() { watch_task_ = tasks().start("proxy watch", watch()); }

  async::Task<void> watch() {
    THAW_CO_TRY_VOID(co_await exchange_.until_gone());
    client_gone_ = true;
    if (upstream_) {
      upstream_->stream->abort();
    }
    co_return ok();
  }

  async::TaskGroup& tasks() {
    if (!tasks_) {
      tasks_.emplace(pool_->loop());
    }
    return *tasks_;
  }

  std::shared_ptr<ClientPool> pool_;
  HttpExchange& exchange_;
  Instant deadline_ = Instant::max();
  const std::function<void(Headers&)>* edit_answer_ = nullptr;
  ClientConnectionPtr upstream_;
  std::unique_ptr<ByteStream> client_bytes_;
  std::unique_ptr<ByteStream> server_bytes_;
  CoarseTimer::Alarm watch_alarm_;
  std::optional<async::TaskGroup> tasks_;
  async::TaskGroup::Handle watch_task_;
  bool body_sent_ = false;
  bool client_gone_ = false;
  std::optional<Error> body_error_;  // why the rest of the request will not come
};

}  // namespace

async::Task<void> run_proxy(std::shared_ptr<ClientPool> pool, HttpExchange& exchange,
                            Endpoint endpoint, ProxyOptions options) {
  Proxy proxy(std::move(pool), exchange);
  Result<void> result = co_await proxy.carry(endpoint, options);
  if (!proxy.is_over()) {
    result = co_await proxy.end(std::move(result));
  }
  co_return result;
}

}  // namespace thaw::net::detail
