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
    std::optional<std::string> first;
    if (hides_its_body(request)) {
      THAW_CO_TRY(first, co_await exchange_.read());
    }
    THAW_CO_TRY(const std::string text, head_upstream(request, options, first.has_value()));
    pool_->timer().arm(watch_alarm_, started + watch_after);
    // Retries once on a fresh connection if a kept one turns out to have been closed meanwhile, and
    // the request may safely run twice.
    const bool replayable = body_ == Body::none && is_idempotent(request.method);
    upstream_ = pool_->take(endpoint, options.deadline,
                            replayable ? ClientPool::Check::seen : ClientPool::Check::asked);
    while (true) {
      if (!upstream_) {
        THAW_CO_TRY_VOID(co_await connect(endpoint));
      }
      if (client_gone_) {
        co_return Error::cancelled("the client has gone away");
      }
      if (body_ == Body::none || (body_ == Body::length && length_ == 0)) {
        body_sent_ = true;
        (void)upstream_->stream->send(text, pool_->exchanges);
      } else {
        upstream_->stream->queue(text);
        // NOLINTNEXTLINE(bugprone-use-after-move): what has a body is not replayable
        THAW_CO_TRY_VOID(co_await begin_body(std::move(first)));
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
      co_return co_await tunnel();
    }
    Beginning beginning;
    if (answer_at_once(beginning)) {
      co_return ok();
    }
    co_return co_await answer(std::move(beginning));
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
  // Frames are kept small: one of more than a KiB is no longer got from the allocator's quick
  // lists.
  Result<std::string> head_upstream(const HttpRequest& request, const ProxyOptions& options,
                                    bool has_more) {
    THAW_TRY(ProxiedHead head, proxied_head(request, options));
    if (head.body == Body::unknown) {
      head.body = has_more ? Body::chunked : Body::none;
    }
    body_ = head.body;
    length_ = head.length;
    is_upgrade_ = head.upgrade;
    return render(head, request);
  }

  async::Task<void> connect(const Endpoint& endpoint) {
    THAW_CO_TRY(upstream_, co_await pool_->open(endpoint, deadline_));
    co_return ok();
  }

  async::Task<void> begin_body(std::optional<std::string> first) {
    if (body_ == Body::length && length_ <= inline_body_bytes) {
      co_return co_await send_body(std::move(first));
    }
    tasks().start("proxy body", send_body_beside(std::move(first)));
    co_return ok();
  }

  async::Task<void> send_body(std::optional<std::string> first) {
    Stream& stream = *upstream_->stream;
    std::optional<std::string> piece = std::move(first);
    while (true) {
      if (!piece) {
        THAW_CO_TRY(piece, co_await exchange_.read());
      }
      if (!piece) {
        break;
      }
      if (body_ == Body::chunked) {
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
    if (body_ == Body::chunked) {
      stream.append(last_chunk(exchange_.trailers()));
    }
    body_sent_ = true;
    (void)co_await stream.flush();
    co_return ok();
  }

  async::Task<void> send_body_beside(std::optional<std::string> first) {
    const Result<void> sent = co_await send_body(std::move(first));
    if (!sent) {
      // Half a request must not look like a whole one.
      body_error_ = sent.error();
      upstream_->stream->abort();
    }
    co_return ok();
  }

  // What of an answer came with its head.
  struct Beginning {
    int status = 0;
    Headers headers;
    std::string body;
    bool is_all = false;
    std::unique_ptr<Error> error;
  };

  // Most answers are there with their head, and need no task to go on.
  bool answer_at_once(Beginning& out) {
    Http1Parser& parser = upstream_->parser;
    out.status = parser.head().status;
    out.headers = proxied_answer(std::move(parser.head().headers));
    if (*edit_answer_) {
      (*edit_answer_)(out.headers);
    }
    if (const auto decoded = decode_buffered(*upstream_->stream, parser, out.body); !decoded) {
      out.error = std::make_unique<Error>(decoded.error());
    }
    out.is_all = parser.done();
    if (!out.is_all) {
      return false;
    }
    release();
    return exchange_.respond_at_once(out.status, out.headers, out.body);
  }

  async::Task<void> answer(Beginning begun) {
    if (begun.is_all) {
      co_return co_await exchange_.respond_whole(begun.status, std::move(begun.headers),
                                                 std::move(begun.body));
    }
    THAW_CO_TRY_VOID(co_await exchange_.respond(begun.status, std::move(begun.headers)));
    if (!begun.body.empty()) {
      THAW_CO_TRY_VOID(co_await exchange_.write(std::move(begun.body)));
    }
    if (begun.error) {
      co_return *begun.error;
    }
    Http1Parser& parser = upstream_->parser;
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

  async::Task<void> tunnel() {
    if (!is_upgrade_) {
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
      (void)upstream_->stream->push();  // what came before the client broke off is the server's
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
  Body body_ = Body::none;
  std::uint64_t length_ = 0;  // with Body::length
  bool is_upgrade_ = false;
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
