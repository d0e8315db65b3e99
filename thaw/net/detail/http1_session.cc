// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_session.h"

#include "thaw/net/detail/http1_exchange.h"
#include "thaw/net/detail/http1_head.h"

namespace thaw::net::detail {

namespace {

// The date header changes once a second; all connections of a loop share its text.
std::string_view date_now() {
  thread_local WallTime valid_until{};
  thread_local std::string text;
  const WallTime now = wall_now();
  if (now >= valid_until || now + 1s < valid_until) {
    valid_until = std::chrono::floor<std::chrono::seconds>(now) + 1s;
    text = http_date(now);
  }
  return text;
}

// What a request costs beside the reading of its head, more or less.
constexpr Duration request_time = 20us;

class Session final : public LiveConnection {
 public:
  explicit Session(Http1Connection connection)
      : stream_(std::make_shared<Stream>(
            std::move(connection.socket), connection.already_read,
            std::shared_ptr<CoarseTimer>(connection.core, &connection.core->timer))),
        parser_(Http1Parser::Role::request, connection.core->limits.header_bytes),
        peer_(std::move(connection.peer)),
        is_containers_(!peer_.identity.empty() && peer_.identity != "admin"),
        handler_(*connection.handler),
        core_(std::move(connection.core)),
        place_(*connection.place) {
    place_ = this;
    counted = std::move(connection.account);
    stream_->belong_to(counted, std::shared_ptr<Turns>(core_, &core_->turns));
    core_->connections.push_back(*this);
    core_->rests(*this);
    be_done_by(connection.accepted_at + core_->limits.header_timeout);
  }
  ~Session() override {
    place_ = nullptr;
    stream_->close();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void begin_drain() override {
    if (idle_) {
      give_way();
    }
  }
  void give_way() override {
    if (stream_->push()) {  // the end of an answer may still be here
      stream_->shutdown_send();
    }
    stream_->close();
  }

  async::Task<void> run() {
    const auto policy = [core = core_.get()] {
      return Http1AnswerPolicy{
          .close_after = core->draining, .date = date_now(), .exchanges = core->exchanges};
    };
    std::optional<Http1Exchange>& exchange = exchange_;
    while (true) {
      const Result<bool> head = co_await read_head();
      if (!head) {
        co_return co_await refuse(head.error());
      }
      if (!*head) {
        co_return ok();
      }
      ++core_->stats.http_requests;
      const UnderWay under_way(*core_, is_containers_ ? 0 : 1);
      exchange.emplace(stream_, parser_, peer_, policy);
      Result<void> outcome = ok();
      if (counted->has_room(0)) {
        outcome = co_await handler_(*exchange);
      } else {
        outcome = co_await exchange->answer_error(counted->exhausted("a request"));
      }
      auto next = Http1Exchange::Next::another;
      if (!outcome || !exchange->is_complete()) {
        const auto completed = co_await exchange->complete(std::move(outcome));
        next = completed ? *completed : Http1Exchange::Next::gone;
      }
      exchange.reset();
      if (next == Http1Exchange::Next::close) {
        co_return co_await stream_->linger();
      }
      if (next == Http1Exchange::Next::gone) {
        co_return ok();
      }
      if (core_->draining) {
        co_return co_await stream_->flush();
      }
      if (stream_->is_blocked()) {
        THAW_CO_TRY_VOID(co_await stream_->flush());  // however slowly: the connection is not idle
      }
      parser_.reset();
      stream_->rest();
      // More requests may be there already.
      if (stream_->owes_turn()) {
        THAW_CO_TRY_VOID(co_await stream_->take_turn());
      }
      be_done_by(monotonic_now() + core_->limits.http1_idle);
      core_->rests(*this);
    }
  }

  bool is_quiet() override {
    return (exchange_ ? exchange_->is_parked() : idle_) && stream_->is_quiet();
  }
  std::size_t exchanges() const override { return exchange_ ? 1 : 0; }

 private:
  // The polls of containers are parked: they are no company for others.
  class UnderWay {
   public:
    UnderWay(ServerCore& core, std::size_t count) : core_(core), count_(count) {
      core_.exchanges += count_;
    }
    ~UnderWay() { core_.exchanges -= count_; }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

   private:
    ServerCore& core_;
    std::size_t count_;
  };

  void be_done_by(Instant deadline) {
    stream_->set_deadline(is_containers_ ? Instant::max() : deadline);
  }

  // False: the peer has closed between two requests.
  async::Task<bool> read_head() {
    bool started = false;
    while (!parser_.head_done()) {
      if (!stream_->buffered().empty()) {
        const Instant began = monotonic_now();
        THAW_CO_TRY(const std::size_t used, parser_.put_head(stream_->buffered()));
        stream_->consume(used);
        const Instant now = monotonic_now();
        stream_->worked(now - began + request_time, now);
        if (parser_.head_done()) {
          break;
        }
        if (!started) {
          started = true;
          be_done_by(monotonic_now() + core_->limits.header_timeout);
        }
      }
      idle_ = !started;
      const Result<bool> more = co_await stream_->fill(
          core_->limits.header_bytes + 1024, started ? Stream::Hope::soon : Stream::Hope::later);
      idle_ = false;
      if (!more && more.error().code() == Code::resource_exhausted) {
        co_return more.error();
      }
      if (!more || !*more) {
        if (started && stream_->open() && more) {
          co_return Error::invalid_argument("the request ends in the middle of its head");
        }
        co_return false;
      }
    }
    stream_->set_deadline(Instant::max());
    ServerCore::works(*this);
    co_return true;
  }

  // A request that cannot be understood is answered without a handler, and ends the connection.
  async::Task<void> refuse(Error error) {
    const bool too_large = error.code() == Code::resource_exhausted;
    const int status = too_large ? 431 : http_status(error.code());
    const std::string body = error.message() + "\n";
    HeadWriter head(status);
    head.add("content-type", "text/plain; charset=utf-8");
    head.add("content-length", std::to_string(body.size()));
    head.add("connection", "close");
    stream_->queue(std::move(head).end() + body);
    co_return co_await stream_->linger();
  }

  std::shared_ptr<Stream> stream_;
  Http1Parser parser_;
  Peer peer_;
  const bool is_containers_;
  const HttpHandler& handler_;
  std::shared_ptr<ServerCore> core_;
  LiveConnection*& place_;
  std::optional<Http1Exchange> exchange_;
  bool idle_ = false;
};

}  // namespace

async::Task<void> run_http1(Http1Connection connection) {
  Session session(std::move(connection));
  co_return co_await session.run();
}

}  // namespace thaw::net::detail
