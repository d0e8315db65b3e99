// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/stream.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "thaw/base/check.h"

namespace thaw::net::detail {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t first_capacity = 4096;
constexpr std::size_t least_room = 2048;
// Unsent bytes at which a writer starts to wait, and what is copied together instead of queued.
constexpr std::size_t unsent_limit = 64u << 10;
constexpr std::size_t small_write = 4096;
// Reads in a row that found bytes before other connections get their turn.
constexpr unsigned eager_limit = 16;
constexpr std::size_t linger_bytes = 256u << 10;
constexpr Duration stall_time = 300s;
// What a connection costs beside its buffers.
constexpr std::size_t stream_bytes = 8u << 10;

bool would_block(const error_code& error) {
  return error == asio::error::would_block || error == asio::error::try_again;
}

// async::is_cancelled() without a frame of its own.
bool is_cancelled(const asio::cancellation_state& state) {
  return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace

Stream::Stream(Socket socket, std::string_view prefix, std::shared_ptr<CoarseTimer> timer)
    : socket_(std::move(socket),
              [this](const error_code& error, std::size_t count) {
                was_filled_ = count == asked_;
                took(error, count);
                if (watching_ && !error) {
                  start_background_read();
                }
              }),
      timer_(std::move(timer)),
      alarm_([this] {
        expired_ = true;
        close();
      }),
      stall_alarm_([this] { abort(); }) {
  if (!prefix.empty()) {
    capacity_ = std::max(first_capacity, prefix.size());
    buffer_ = std::make_unique_for_overwrite<char[]>(capacity_);
    std::memcpy(buffer_.get(), prefix.data(), prefix.size());
    end_ = prefix.size();
  }
}

void Stream::belong_to(std::shared_ptr<Account> account, std::shared_ptr<Turns> turns) {
  held_.move_to(std::move(account));
  turns_ = std::move(turns);
  recount();
}

void Stream::recount() {
  held_.set(open_ ? stream_bytes + socket_.tls_bytes() + capacity_ + out_bytes_ : 0);
}

void Stream::worked(Duration used, Instant now) {
  if (turns_) {
    worked_ += used;
    turns_->spend(turn_share_, held_.account()->turns, used, now);
  }
}

async::Task<void> Stream::take_turn() {
  const auto self = shared_from_this();
  if (owes_turn()) {
    worked_ = {};
    co_return co_await turns_->wait(turn_share_, held_.account()->turns);
  }
  co_return ok();
}

bool Stream::owes_turn() const {
  return turns_ && (worked_ > Turns::slice ||
                    turns_->is_greedy(turn_share_, held_.account()->turns, monotonic_now()));
}

void Stream::consume(std::size_t count) {
  THAW_CHECK(count <= end_ - begin_);
  begin_ += count;
}

void Stream::rest() {
  if (!reads_ahead() && !is_fixed_ && begin_ == end_ && capacity_ > first_capacity) {
    buffer_.reset();
    begin_ = end_ = capacity_ = 0;
    recount();
  }
}

bool Stream::make_room(std::size_t limit) {
  const std::size_t held = end_ - begin_;
  if (held == 0) {
    begin_ = end_ = 0;
  }
  if (capacity_ > 0 && held_.account() != nullptr && !held_.account()->has_room(0)) {
    // No more is held for this peer than what it has.
    limit = std::min(limit, capacity_);
  }
  if (held >= limit) {
    return false;
  }
  // A peer that fills the buffer sends much: it gets a larger one, and fewer pieces are made of it.
  const bool is_small = was_filled_ && held == 0 && capacity_ < limit;
  if (capacity_ - end_ >= least_room && !is_small) {
    return true;
  }
  const std::size_t wanted = std::min(std::max(limit, first_capacity),
                                      std::max(first_capacity, std::max(held * 2, capacity_)));
  if (begin_ > 0 && wanted <= capacity_) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, held);
  } else {
    const std::size_t larger =
        std::min(std::max(limit, first_capacity), std::max(first_capacity, capacity_ * 4));
    auto bigger = std::make_unique_for_overwrite<char[]>(larger);
    if (held > 0) {
      std::memcpy(bigger.get(), buffer_.get() + begin_, held);
    }
    buffer_ = std::move(bigger);
    capacity_ = larger;
    recount();
  }
  begin_ = 0;
  end_ = held;
  return capacity_ > end_;
}

void Stream::took(const error_code& error, std::size_t count) {
  end_ += count;
  received_ += count;
  if (error == asio::error::eof) {
    eof_ = true;
  } else if (error && error != asio::error::operation_aborted) {
    broken_ = true;
  }
  if (peer_gone()) {
    peer_event_.notify_all();
  }
}

Error Stream::broken_error() const {
  if (expired_) {
    return Error::deadline_exceeded("the connection's time is over");
  }
  if (!open_) {
    return Error::cancelled("the connection is closed");
  }
  return Error::unavailable("the peer broke the connection off");
}

async::Task<bool> Stream::fill(std::size_t limit, Hope hope) {
  const auto self = shared_from_this();
  if (is_cancelled(co_await asio::this_coro::cancellation_state)) {
    co_return Error::cancelled("cancelled before a read");
  }
  if (!open_ || broken_) {
    co_return broken_error();
  }
  if (eof_) {
    co_return false;
  }
  const std::uint64_t before = received_;
  auto tried = EdgeSocket::Tried::no;
  if (!reads_ahead() && !make_room(limit)) {
    co_return Error::resource_exhausted("the input buffer is full");
  }
  if (!reads_ahead() && hope == Hope::soon) {
    if (++eager_reads_ > eager_limit || owes_turn()) {
      eager_reads_ = 0;
      is_fixed_ = true;
      Result<void> called = ok();
      if (owes_turn()) {
        worked_ = {};
        called = co_await turns_->wait(turn_share_, held_.account()->turns);
      } else {
        co_await asio::post(asio::use_awaitable);
      }
      is_fixed_ = false;
      if (!called) {
        co_return called.error();
      }
      if (!open_) {
        co_return broken_error();
      }
    }
    tried = read_now();
  }
  if (received_ == before && open_ && !peer_gone()) {
    eager_reads_ = 0;
    worked_ = {};
    if (!reads_ahead()) {
      start_read(tried);
    }
    co_await socket_.read_done();
  }
  if (watching_) {
    start_background_read();
  }
  if (received_ != before) {
    co_return true;
  }
  if (eof_) {
    co_return false;
  }
  if (open_ && !broken_) {
    co_return Error::cancelled("cancelled during a read");
  }
  co_return broken_error();
}

asio::mutable_buffer Stream::room() {
  asked_ = capacity_ - end_;
  return asio::buffer(buffer_.get() + end_, asked_);
}

EdgeSocket::Tried Stream::read_now() {
  error_code error;
  const std::size_t count = socket_.read_now(room(), error);
  if (would_block(error)) {
    return EdgeSocket::Tried::in_vain;
  }
  was_filled_ = count == asked_;
  took(error, count);
  return EdgeSocket::Tried::no;
}

void Stream::start_read(EdgeSocket::Tried tried) {
  socket_.start_read(room(), shared_from_this(), tried);
}

bool Stream::still_quiet() {
  if (!open_ || peer_gone() || end_ != begin_) {
    return false;
  }
  char byte = 0;
  const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool Stream::is_quiet() {
  int unread = 0;
  int untaken = 0;
  const int fd = socket_.native_handle();
  return open_ && !peer_gone() && end_ == begin_ && out_.empty() &&
         ::ioctl(fd, SIOCINQ, &unread) == 0 && unread == 0 &&
         ::ioctl(fd, SIOCOUTQ, &untaken) == 0 && untaken == 0;
}

void Stream::listen() {
  if (!reads_ahead() && open_ && !peer_gone() && make_room(first_capacity)) {
    start_read(EdgeSocket::Tried::no);
  }
}

void Stream::watch() {
  watching_ = true;
  start_background_read();
}

void Stream::start_background_read() {
  while (!reads_ahead() && !is_fixed_ && open_ && !peer_gone()) {
    if (!make_room(unsent_limit)) {
      start_hangup_wait();
    } else if (read_now() == EdgeSocket::Tried::in_vain) {
      start_read(EdgeSocket::Tried::in_vain);
    } else {
      continue;
    }
    return;
  }
}

void Stream::start_hangup_wait() {
  if (awaiting_hangup_) {
    return;
  }
  awaiting_hangup_ = true;
  socket_.async_wait(Socket::wait_error, [self = shared_from_this()](const error_code& error) {
    self->awaiting_hangup_ = false;
    if (error || !self->open_) {
      return;
    }
    pollfd state{self->socket_.native_handle(), 0, 0};
    if (::poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP)) != 0) {
      self->broken_ = true;
      self->peer_event_.notify_all();
    }
  });
}

void Stream::append(std::string data) {
  if (data.empty() || send_broken_ || !open_) {
    return;
  }
  out_bytes_ += data.size();
  recount();
  if (!out_.empty() && out_.back().size() + data.size() <= small_write) {
    out_.back() += data;
  } else {
    out_.push_back(std::move(data));
  }
}

void Stream::queue(std::string data) {
  append(std::move(data));
  if (!out_.empty() && !flush_scheduled_ && !writing_) {
    flush_scheduled_ = true;
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      self->flush_scheduled_ = false;
      (void)self->push();
    });
  }
}

ssize_t Stream::send_some() {
  if (out_.size() == 1) {  // most answers are, and the kernel has less to copy and check
    const std::string& only = out_.front();
    return socket_.send_now(only.data() + front_sent_, only.size() - front_sent_);
  }
  std::array<iovec, 16> pieces;
  const std::size_t count = std::min(pieces.size(), out_.size());
  for (std::size_t i = 0; i < count; ++i) {
    pieces[i] = {out_[i].data(), out_[i].size()};
  }
  pieces[0].iov_base = out_[0].data() + front_sent_;
  pieces[0].iov_len -= front_sent_;
  return socket_.send_now(std::span<const iovec>(pieces.data(), count));
}

void Stream::try_send() {
  while (!out_.empty() && open_ && !send_broken_) {
    const ssize_t taken = send_some();
    if (taken < 0 && errno == EINTR) {
      continue;
    }
    if (taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return;
    }
    if (taken < 0) {
      send_broken_ = true;
      break;
    }
    std::size_t sent = static_cast<std::size_t>(taken);
    out_bytes_ -= sent;
    sent += front_sent_;
    while (!out_.empty() && sent >= out_.front().size()) {
      sent -= out_.front().size();
      out_.pop_front();
    }
    front_sent_ = sent;
  }
  if (send_broken_ || !open_) {
    out_.clear();
    out_bytes_ = front_sent_ = 0;
    peer_event_.notify_all();
  }
  recount();
}

void Stream::start_background_write() {
  if (writing_ || out_.empty() || !open_ || send_broken_) {
    return;
  }
  writing_ = true;
  timer_->arm(stall_alarm_, monotonic_now() + stall_time);
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const error_code& error) {
    self->writing_ = false;
    self->stall_alarm_.disarm();
    if (!error) {
      self->try_send();
    }
    self->start_background_write();
    self->written_.notify_all();
  });
}

bool Stream::push() {
  if (!writing_) {
    try_send();
    start_background_write();
  }
  return out_.empty() && open_ && !send_broken_;
}

bool Stream::send(std::string data, std::size_t exchanges) {
  if (exchanges < company || out_bytes_ + data.size() > small_write) {
    append(std::move(data));
    return push();
  }
  queue(std::move(data));
  return open_ && !send_broken_;
}

async::Task<void> Stream::write(std::string data) {
  const auto self = shared_from_this();
  queue(std::move(data));
  if (out_bytes_ > unsent_limit) {
    (void)push();
  }
  while (out_bytes_ > unsent_limit && open_ && !send_broken_) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await written_.wait(Instant::max()));
  }
  if (send_broken_ || !open_) {
    co_return broken_error();
  }
  if (is_cancelled(co_await asio::this_coro::cancellation_state)) {
    co_return Error::cancelled("cancelled during a write");
  }
  co_return ok();
}

async::Task<void> Stream::flush() {
  const auto self = shared_from_this();
  (void)push();
  while (!out_.empty() && open_ && !send_broken_) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await written_.wait(Instant::max()));
  }
  if (send_broken_ || !open_) {
    co_return broken_error();
  }
  co_return ok();
}

void Stream::set_deadline(Instant deadline) {
  if (open_) {
    timer_->arm(alarm_, deadline);
  }
}

void Stream::shutdown_send() {
  error_code ignored;
  socket_.say_goodbye();
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void Stream::close() {
  if (!open_) {
    return;
  }
  if (eof_ && out_.empty() && !send_broken_) {
    socket_.say_goodbye();  // as the peer has
  }
  open_ = false;
  error_code ignored;
  alarm_.disarm();
  stall_alarm_.disarm();
  socket_.close(ignored);
  out_.clear();
  out_bytes_ = front_sent_ = 0;
  recount();
  written_.notify_all();
  peer_event_.notify_all();
}

void Stream::abort() {
  error_code ignored;
  if (open_) {
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    send_broken_ = true;
  }
  close();
}

async::Task<void> Stream::linger() {
  const auto self = shared_from_this();
  const auto flushed = co_await flush();
  if (flushed && !eof_) {
    shutdown_send();
    set_deadline(monotonic_now() + 2s);
    for (std::size_t dropped = 0; dropped < linger_bytes;) {
      dropped += buffered().size();
      consume(buffered().size());
      const auto more = co_await fill(unsent_limit, Hope::soon);
      if (!more || !*more) {
        break;
      }
    }
  }
  close();
  co_return ok();
}

async::Task<Socket> Stream::release() {
  const auto self = shared_from_this();
  THAW_CO_TRY_VOID(co_await flush());
  watching_ = false;
  alarm_.disarm();
  error_code error;
  if (reads_ahead()) {
    socket_.cancel(error);
    co_await socket_.read_done();
  }
  if (reads_ahead() || broken_ || !open_) {
    co_return reads_ahead() ? Error::cancelled("cancelled before an upgrade") : broken_error();
  }
  open_ = false;
  recount();
  // Asked anew for what is there: the next owner trusts Asio's reads.
  const auto protocol = socket_.local_endpoint(error).protocol();
  Socket released(socket_.get_executor());
  released.tls = std::move(socket_.tls);
  released.assign(protocol, socket_.release(error), error);
  if (error) {
    co_return Error::unavailable("the connection cannot be taken over: " + error.message());
  }
  co_return released;
}

async::Task<std::optional<std::string>> StreamBytes::read() {
  const std::shared_ptr<Stream> stream = stream_;
  if (stream->buffered().empty()) {
    THAW_CO_TRY(const bool more, co_await stream->fill(unsent_limit, Stream::Hope::soon));
    if (!more) {
      co_return std::nullopt;
    }
  }
  std::string bytes(stream->buffered());
  stream->consume(bytes.size());
  co_return bytes;
}

async::Task<void> StreamBytes::write(std::string data) {
  const std::shared_ptr<Stream> stream = stream_;
  co_return co_await stream->write(std::move(data));
}

async::Task<void> StreamBytes::finish() {
  const std::shared_ptr<Stream> stream = stream_;
  THAW_CO_TRY_VOID(co_await stream->flush());
  stream->shutdown_send();
  co_return ok();
}

}  // namespace thaw::net::detail
