// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/served_requests.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "thaw/os/mount.h"

namespace thaw::worker {

Result<std::uint64_t> waiting_requests(const os::Fd& mount) {
  struct statx status {};
  // Asked for nothing but where it is, so that nobody is asked: this process may not get in.
  if (::statx(mount.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &status) != 0) {
    return Error::from_errno(errno, "look at a served folder");
  }
  THAW_TRY(const os::Fd counts, os::make_mount("fusectl", {}, 0));
  const std::string name = std::to_string(status.stx_dev_minor) + "/waiting";
  const os::Fd file(::openat(counts.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  char text[32] = {};
  if (!file.valid() || ::read(file.get(), text, sizeof text - 1) <= 0) {
    return Error::not_found("nobody serves the folder any more");
  }
  return std::strtoull(text, nullptr, 10);
}

}  // namespace thaw::worker
