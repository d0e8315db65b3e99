// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/checkpoint.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/os/files.h"

namespace thaw::sandbox::detail {

Result<void> write_checkpoint(Criu& criu, const os::Fd& first, const std::string& images,
                              std::uint64_t max_file_bytes) {
  THAW_TRY(criu.images, os::open_file(images, O_RDONLY | O_DIRECTORY));
  // The process that is in the new pid namespace is the child that run_criu makes.
  if (::setns(first.get(), CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
                               CLONE_NEWCGROUP) != 0) {
    return Error::from_errno(errno, "enter the sandbox");
  }
  CriuRun run;
  // Stopped, not killed: PID 1 would end with the main program, and criu with PID 1. A deleted file
  // that is still open is kept up to this size.
  run.arguments = {"dump",          "--tree",  std::to_string(first_pid), "--leave-stopped",
                   "--ghost-limit", "67108864"};
  run.niceness = 10;  // nobody waits for it
  run.max_file_bytes = max_file_bytes;
  const os::Fd folder(::fcntl(criu.images.get(), F_DUPFD_CLOEXEC, 0));
  THAW_TRY_VOID(run_criu(criu, std::move(run)));
  // Without it a restored program sees this host's clocks as they are; with it, it would live in a
  // time namespace of its own, which takes the power to set clocks to make.
  if (::unlinkat(folder.get(), "timens-0.img", 0) != 0 && errno != ENOENT) {
    return Error::from_errno(errno, "forget the clocks of a checkpoint");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
