// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/snapshots.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "thaw/base/check.h"
#include "thaw/os/fd.h"

namespace thaw::worker {

namespace {

// A pipe without a reader cannot be opened for writing, and the reader is in there only a moment.
async::Task<void> tell(const std::string& pipe, const std::string& text, Instant give_up) {
  while (true) {
    const os::Fd fd(::open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (fd.valid()) {
      const ssize_t n = ::write(fd.get(), text.data(), text.size());
      if (n != static_cast<ssize_t>(text.size())) {
        co_return Error::from_errno(n < 0 ? errno : EIO, "tell a restored program who it is");
      }
      co_return ok();
    }
    if (errno != ENXIO) {
      co_return Error::from_errno(errno, "tell a restored program who it is");
    }
    if (monotonic_now() > give_up) {
      co_return Error::deadline_exceeded("the restored program does not ask who it is");
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(500us));
  }
}

}  // namespace

bool is_woken(const SnapshotPoint& point, const sandbox::Checkpoint& written) {
  return point.restored_signal != 0 && (!point.file_name.empty() || written.hears_restores);
}

bool is_of_snapshot(const Error& error) {
  switch (error.code()) {
    case Code::failed_precondition:
    case Code::invalid_argument:
    case Code::data_loss:
    case Code::deadline_exceeded: return true;
    default: return false;
  }
}

Result<void> expect_restored(const SnapshotPoint& point, const std::string& folder,
                             InsideUsers users) {
  if (point.file_name.empty()) {
    return ok();
  }
  THAW_CHECK(point.file_bytes.size() <= PIPE_BUF);
  const std::string path = folder + "/" + point.file_name;
  if (::mkfifo(path.c_str(), 0600) != 0 ||
      (users == InsideUsers::all && ::chmod(path.c_str(), 0644) != 0)) {
    return Error::from_errno(errno, "make a pipe for a restored program");
  }
  return ok();
}

async::Task<void> wake_restored(sandbox::Sandbox& sandbox, const SnapshotPoint& point,
                                StartReport& report, std::string folder, Duration patience) {
  const Instant begun = monotonic_now();
  while (report.started() == Instant{}) {
    if (sandbox.has_ended()) {
      co_return Error::unavailable("the restored program ended at once");
    }
    const Duration waited = monotonic_now() - begun;
    if (waited > patience) {
      co_return Error::deadline_exceeded("the restored program did not answer");
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(std::max<Duration>(500us, waited / 20)));
  }
  if (point.file_name.empty()) {
    co_return ok();
  }
  co_return co_await tell(folder + "/" + point.file_name, point.file_bytes, begun + patience);
}

}  // namespace thaw::worker
