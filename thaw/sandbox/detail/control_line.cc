// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/control_line.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "thaw/base/time.h"
#include "thaw/os/message.h"
#include "thaw/os/process.h"

namespace thaw::sandbox::detail {

namespace {

// Usually it takes a tenth of a second until there is another one.
constexpr Duration patience = 30s;
// In which the end of one process is seen after that of another which caused it.
constexpr Duration moment = 200ms;

}  // namespace

Result<void> make_non_blocking(const os::Fd& fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Error::from_errno(errno, "make a descriptor non-blocking");
  }
  return ok();
}

Error ControlLine::spawner_gone() {
  return Error::unavailable(
      "the process that starts containers (thaw-spawner) has ended, and with it its containers; "
      "it is brought back: try again, and see the server's log if this stays so");
}

void ControlLine::attach(async::Loop& loop, async::Pool& pool) {
  loop_ = &loop;
  pool_ = &pool;
}

Result<void> ControlLine::begin(os::Fd socket, const os::Fd& process) {
  THAW_TRY_VOID(make_non_blocking(socket));
  process_ = os::Fd(::fcntl(process.get(), F_DUPFD_CLOEXEC, 3));
  THAW_TRY(watch_, async::FdWatch::make(*loop_, socket.get()));
  socket_ = std::move(socket);
  ++spawner_;
  state_ = State::beginning;
  return ok();
}

void ControlLine::open() {
  state_ = State::open;
  changed_.notify_all();
}

void ControlLine::end() {
  state_ = state_ == State::closed ? State::closed : State::none;
  socket_.reset();
  watch_.reset();
  for (const int socket : *awaited_) {
    ::shutdown(socket, SHUT_RDWR);
  }
}

void ControlLine::close_for_good() {
  end();
  state_ = State::closed;
  changed_.notify_all();
}

bool ControlLine::has_ended() const { return !socket_.valid() || os::has_ended(process_); }

async::Task<bool> ControlLine::has_just_ended() {
  const Instant latest = monotonic_now() + moment;
  while (!has_ended() && monotonic_now() < latest) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(5ms));
  }
  co_return has_ended();
}

async::Task<void> ControlLine::up() {
  const Instant latest = monotonic_now() + patience;
  // One that has ended a moment ago is not asked, be it that nobody has noticed yet.
  while (state_ != State::open || has_ended()) {
    if (state_ == State::closed || monotonic_now() >= latest) {
      co_return spawner_gone();
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await changed_.wait(latest));
  }
  co_return ok();
}

async::Task<void> ControlLine::send(std::string bytes, std::vector<int> fds) {
  THAW_CO_TRY_VOID(co_await up());
  co_return co_await send_at_once(std::move(bytes), std::move(fds));
}

async::Task<void> ControlLine::send_at_once(std::string bytes, std::vector<int> fds) {
  const std::uint64_t to = spawner_;
  while (true) {
    if (!socket_.valid() || spawner_ != to) {
      co_return spawner_gone();
    }
    THAW_CO_TRY(const os::Transfer sent, os::send_message(socket_.get(), bytes, fds));
    if (sent == os::Transfer::end) {
      co_return spawner_gone();
    }
    if (sent == os::Transfer::done) {
      co_return ok();
    }
    // The end of the process takes the watch away.
    if (const Result<void> room = co_await watch_->writable(); !room && spawner_ == to) {
      co_return has_ended() ? spawner_gone() : room.error();
    }
  }
}

async::Task<std::string> ControlLine::ask(std::string bytes) {
  THAW_CO_TRY_VOID(co_await up());
  co_return co_await ask_at_once(std::move(bytes));
}

async::Task<std::string> ControlLine::ask_at_once(std::string bytes) {
  THAW_CO_TRY(os::Message message, co_await exchange(std::move(bytes)));
  co_return std::move(message.bytes);
}

async::Task<os::Message> ControlLine::ask_for(std::string bytes) {
  THAW_CO_TRY_VOID(co_await up());
  co_return co_await exchange(std::move(bytes));
}

async::Task<os::Message> ControlLine::exchange(std::string bytes) {
  THAW_CO_TRY(auto pair, os::make_message_pair());
  THAW_CO_TRY_VOID(make_non_blocking(pair.first));
  THAW_CO_TRY(async::FdWatch replied, async::FdWatch::make(*loop_, pair.first.get()));
  const Awaiting awaiting(*this, pair.first.get());
  std::vector<int> fds = {pair.second.get()};
  THAW_CO_TRY_VOID(co_await send_at_once(std::move(bytes), std::move(fds)));
  pair.second.reset();
  os::Message message;
  os::Transfer received = os::Transfer::later;
  while (received == os::Transfer::later) {
    THAW_CO_TRY_VOID(co_await replied.readable());
    THAW_CO_TRY(received, os::receive_message(pair.first.get(), message));
  }
  if (received == os::Transfer::end) {
    co_return spawner_gone();
  }
  Reader reader(message.bytes);
  if (reader.kind() == Kind::failed) {
    co_return decode_failure(reader);
  }
  co_return message;
}

void ControlLine::tell(const std::string& bytes) {
  if (socket_.valid()) {
    (void)os::send_message(socket_.get(), bytes);
  }
}

void ControlLine::ask_to_remove(const model::ContainerId& id) {
  tell(Writer(Kind::remove).text(id.str()).bytes());
}

}  // namespace thaw::sandbox::detail
