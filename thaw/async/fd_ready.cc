// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/fd_ready.h"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

namespace thaw::async {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

struct FdWatch::Watched {
  explicit Watched(Loop& loop) : descriptor(loop.context()) {}
  stream_descriptor descriptor;

  static Task<void> wait(std::shared_ptr<Watched> self, stream_descriptor::wait_type what) {
    if (co_await is_cancelled()) {
      co_return Error::cancelled("cancelled before a wait for a descriptor");
    }
    const auto [error] =
        co_await self->descriptor.async_wait(what, asio::as_tuple(asio::use_awaitable));
    if (error) {
      co_return Error::cancelled("cancelled during a wait for a descriptor");
    }
    co_return ok();
  }
};

FdWatch::FdWatch() = default;
FdWatch::FdWatch(FdWatch&&) noexcept = default;
FdWatch& FdWatch::operator=(FdWatch&& other) noexcept {
  std::swap(watched_, other.watched_);
  return *this;
}

FdWatch::~FdWatch() {
  if (watched_) {
    boost::system::error_code ignored;
    watched_->descriptor.close(ignored);
  }
}

Result<FdWatch> FdWatch::make(Loop& loop, int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    return Error::from_errno(errno, "duplicate a descriptor");
  }
  FdWatch watch;
  watch.watched_ = std::make_shared<Watched>(loop);
  boost::system::error_code error;
  watch.watched_->descriptor.assign(copy, error);
  if (error) {
    ::close(copy);
    return Error::from_errno(error.value(), "watch a descriptor");
  }
  return watch;
}

Task<void> FdWatch::readable() { return Watched::wait(watched_, stream_descriptor::wait_read); }

Task<void> FdWatch::writable() { return Watched::wait(watched_, stream_descriptor::wait_write); }

}  // namespace thaw::async
