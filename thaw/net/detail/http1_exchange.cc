// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_exchange.h"

#include <boost/asio/error.hpp>

#include "thaw/base/check.h"
#include "thaw/net/detail/authority.h"
#include "thaw/net/detail/content_length.h"
#include "thaw/net/detail/http1_body.h"
#include "thaw/net/detail/http1_head.h"
#include "thaw/net/detail/websocket.h"

namespace thaw::net::detail {

namespace {

// A rest of a body that nobody has read: up to here it is cheaper to drop it than to reconnect.
constexpr std::size_t droppable_bytes = 256u << 10;
constexpr std::size_t at_once_bytes = 64u << 10;
// How long a peer may take to read what came before the end of an answer that has failed.
constexpr Duration break_off_time = 5s;

}  // namespace

struct Http1Exchange::Life {
  bool over = false;
};

Http1Exchange::Http1Exchange(std::shared_ptr<Stream> stream, Http1Parser& parser, Peer peer,
                             std::function<Http1AnswerPolicy()> policy)
    : stream_(std::move(stream)),
      parser_(parser),
      policy_(std::move(policy)),
      keep_alive_(parser.keep_alive()),
      minor_version_zero_(parser.head().minor_version == 0) {
  Http1Head& head = parser_.head();
  request_.method = std::move(head.method);
  request_.target = std::move(head.target);
  request_.version = minor_version_zero_ ? "1.0" : "1.1";
  request_.scheme = peer.scheme();
  request_.headers = std::move(head.headers);
  request_.peer = std::move(peer);
  request_.authority = request_.headers.find("host").value_or("");
  take_absolute_target(request_);
  awaits_continue_ = !minor_version_zero_ && !parser_.done() &&
                     has_token(request_.headers, "expect", "100-continue");
}

Http1Exchange::~Http1Exchange() {
  if (life_) {
    life_->over = true;
    stream_->unwatch();
    stream_->peer_event().notify_all();
  }
}

async::Task<std::optional<std::string>> Http1Exchange::read() {
  if (switched_) {
    co_return Error::failed_precondition("the connection has switched protocols");
  }
  if (awaits_continue_ && !parser_.done()) {
    awaits_continue_ = false;
    if (!responded_) {
      stream_->queue("HTTP/1.1 100 Continue\r\n\r\n");
      THAW_CO_TRY_VOID(co_await stream_->flush());
    }
  }
  Result<std::optional<std::string>> piece = co_await read_body(stream_, parser_);
  body_failed_ = body_failed_ || !piece;
  co_return piece;
}

// A container may begin many requests and end none of them.
Result<void> Http1Exchange::keep(std::size_t bytes) {
  if (request_.peer.transport != Peer::Transport::door) {
    return ok();
  }
  const auto& account = stream_->account();
  if (!account->has_room(bytes)) {
    return account->exhausted("a request");
  }
  if (kept_.account() == nullptr) {
    kept_.move_to(account);
  }
  kept_.set(kept_.bytes() + bytes);
  return ok();
}

Http1Exchange::Framing Http1Exchange::choose_framing(int status, bool has_length) const {
  if (status == 204 || status == 304) {
    return Framing::none;
  }
  if (has_length) {
    return Framing::length;
  }
  if (request_.method == "HEAD") {
    return Framing::none;
  }
  return minor_version_zero_ ? Framing::until_close : Framing::chunked;
}

Result<std::string> Http1Exchange::render_head(int status, const Headers& headers) {
  const Http1AnswerPolicy policy = policy_();
  exchanges_ = policy.exchanges;
  const auto length = content_length_of(headers);
  if (!length) {
    return Error::internal("of an answer: " + length.error().message());
  }
  framing_ = choose_framing(status, length->has_value());
  silent_ = framing_ == Framing::none || request_.method == "HEAD";
  length_left_ = length->value_or(0);
  const bool unread = awaits_continue_ || body_failed_;
  keep_alive_ = keep_alive_ && !policy.close_after && !unread && framing_ != Framing::until_close;
  HeadWriter head(status);
  if (!policy.date.empty() && !headers.find("date")) {
    head.add("date", policy.date);
  }
  for (const auto& [name, value] : headers.fields) {
    if (is_hop_by_hop(name) ||
        (name == "content-length" && framing_ != Framing::length && status != 304)) {
      continue;
    }
    THAW_TRY_VOID(head.add_checked(name, value));
  }
  if (framing_ == Framing::chunked) {
    head.add("transfer-encoding", "chunked");
  }
  if (!keep_alive_) {
    head.add("connection", "close");
  } else if (minor_version_zero_) {
    head.add("connection", "keep-alive");
  }
  return std::move(head).end();
}

Result<void> Http1Exchange::check_answer(int status) const {
  if (responded_) {
    return Error::failed_precondition("the exchange is answered already");
  }
  if (status < 200 || status > 999) {
    return Error::internal("an answer cannot have the status " + std::to_string(status));
  }
  return ok();
}

async::Task<void> Http1Exchange::respond(int status, Headers headers) {
  THAW_CO_TRY_VOID(check_answer(status));
  THAW_CO_TRY(std::string head, render_head(status, headers));
  responded_ = true;
  stream_->queue(std::move(head));
  co_return ok();
}

bool Http1Exchange::respond_at_once(int status, const Headers& headers, std::string& body) {
  // Nobody waits until it is sent, so that a peer that asks and does not read has one of them here.
  if (body.size() > at_once_bytes || stream_->unsent() > 0 || !check_answer(status)) {
    return false;
  }
  auto head = render_head(status, headers);
  if (!head || framing_ != Framing::length || silent_ || body.size() != length_left_) {
    return false;
  }
  length_left_ = 0;
  responded_ = finished_ = true;
  stream_->append(std::move(*head));
  (void)stream_->send(std::move(body), keep_alive_ ? exchanges_ : 1);
  return true;
}

async::Task<void> Http1Exchange::write(std::string data) {
  if (!responded_ || finished_) {
    co_return Error::failed_precondition("a write before respond() or after finish()");
  }
  if (framing_ == Framing::length && !silent_) {
    if (data.size() > length_left_) {
      co_await break_off();
      co_return Error::internal("the answer is longer than its content-length");
    }
    length_left_ -= data.size();
  }
  if (silent_ || data.empty()) {
    co_return ok();
  }
  if (framing_ != Framing::chunked) {
    co_return co_await stream_->write(std::move(data));
  }
  stream_->queue(chunk_head(data.size()));
  stream_->queue(std::move(data));
  co_return co_await stream_->write("\r\n");
}

async::Task<void> Http1Exchange::finish() {
  if (!responded_) {
    co_return Error::failed_precondition("finish() before respond()");
  }
  if (finished_) {
    co_return ok();
  }
  finished_ = true;
  if (framing_ == Framing::length && !silent_ && length_left_ > 0) {
    co_await break_off();
    co_return Error::internal("the answer is shorter than its content-length");
  }
  if (framing_ == Framing::chunked) {
    stream_->queue(last_chunk(answer_trailers_));
  }
  co_return co_await stream_->flush();
}

async::Task<void> Http1Exchange::until_gone() {
  if (!life_) {
    life_ = std::make_shared<Life>();
  }
  const std::shared_ptr<Life> life = life_;
  const std::shared_ptr<Stream> stream = stream_;
  stream->watch();
  while (!life->over && stream->open() && !stream->peer_gone()) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await stream->peer_event().wait(Instant::max()));
  }
  co_return ok();
}

bool Http1Exchange::is_websocket_upgrade() const {
  return request_.method == "GET" && !minor_version_zero_ &&
         has_token(request_.headers, "connection", "upgrade") &&
         has_token(request_.headers, "upgrade", "websocket") &&
         request_.headers.find("sec-websocket-key").has_value();
}

async::Task<std::unique_ptr<WebSocket>> Http1Exchange::accept_websocket(std::string subprotocol,
                                                                        Headers headers) {
  if (!is_websocket_upgrade() || responded_) {
    co_return Error::failed_precondition("the request does not ask for a WebSocket");
  }
  if (!subprotocol.empty() && !has_token(request_.headers, "sec-websocket-protocol", subprotocol)) {
    co_return Error::invalid_argument("the client has not offered the sub-protocol " + subprotocol);
  }
  responded_ = finished_ = switched_ = true;
  keep_alive_ = false;
  co_return co_await upgrade_to_websocket(stream_, request_, std::move(subprotocol),
                                          std::move(headers));
}

async::Task<std::unique_ptr<ByteStream>> Http1Exchange::switch_protocols(Headers headers) {
  if (responded_ || minor_version_zero_ || !parser_.done()) {
    co_return Error::failed_precondition("the exchange cannot switch protocols now");
  }
  HeadWriter head(101);
  for (const auto& [name, value] : headers.fields) {
    if (name != "content-length" && name != "transfer-encoding") {
      THAW_CO_TRY_VOID(head.add_checked(name, value));
    }
  }
  responded_ = finished_ = switched_ = true;
  keep_alive_ = false;
  stream_->queue(std::move(head).end());
  co_return std::make_unique<StreamBytes>(stream_);
}

// What was written reaches the peer, and then the connection ends where more was promised: a chunk,
// or the rest of a length. Where only the end of the connection ends a body it must be a reset.
boost::asio::awaitable<void> Http1Exchange::break_off() {
  finished_ = true;
  keep_alive_ = false;
  if (!stream_->open() || stream_->peer_gone() || co_await async::is_cancelled()) {
    stream_->abort();
    co_return;
  }
  stream_->set_deadline(monotonic_now() + break_off_time);
  const auto flushed = co_await stream_->flush();
  if (flushed && framing_ != Framing::until_close && framing_ != Framing::none) {
    (void)co_await stream_->linger();
  }
  stream_->abort();
}

async::Task<bool> Http1Exchange::drop_rest_of_body() {
  std::size_t dropped = 0;
  while (!parser_.done() && dropped < droppable_bytes) {
    THAW_CO_TRY(const std::optional<std::string> piece, co_await read());
    dropped += piece ? piece->size() : 0;
  }
  co_return parser_.done();
}

bool Http1Exchange::is_complete() const {
  return finished_ && keep_alive_ && !switched_ && parser_.done() && stream_->open();
}

async::Task<Http1Exchange::Next> Http1Exchange::complete(Result<void> outcome) {
  stream_->unwatch();
  if (switched_) {
    co_return Next::gone;
  }
  if (!responded_) {
    if (outcome) {
      outcome = Error::internal("the handler has not answered");
    }
    // Not the handler's fault: there is nobody to answer, or no time.
    if (!stream_->open() || co_await async::is_cancelled()) {
      co_return Next::gone;
    }
    keep_alive_ = keep_alive_ && outcome.error().code() != Code::internal;
    outcome = co_await answer_error(outcome.error());
  } else if (outcome && !finished_) {
    outcome = co_await finish();
  }
  if (!outcome) {
    co_await break_off();
    co_return Next::gone;
  }
  if (!keep_alive_) {
    co_return Next::close;
  }
  if (!parser_.done()) {
    stream_->set_deadline(monotonic_now() + 5s);
    const Result<bool> dropped = co_await drop_rest_of_body();
    if (!dropped || !*dropped) {
      co_return Next::close;
    }
  }
  co_return Next::another;
}

}  // namespace thaw::net::detail
