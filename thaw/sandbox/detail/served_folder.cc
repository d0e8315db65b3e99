// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/served_folder.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include "thaw/os/message.h"
#include "thaw/os/mount.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

constexpr const char* device_path = "/dev/fuse";

struct Making {
  int user_namespace = -1;  // -1: the machine's own
  std::uint64_t attributes = 0;
  ServedMount made = {};
  std::optional<Error> failure = std::nullopt;
};

Result<void> make(Making& making) {
  if (making.user_namespace >= 0) {
    // Mounts are made by right of a mount namespace, so that it needs one of these users'; the
    // device is still the machine's root's, as whom this process goes on until it is open.
    ::setfsuid(0);
    if (::setns(making.user_namespace, CLONE_NEWUSER) != 0 || ::unshare(CLONE_NEWNS) != 0) {
      return Error::from_errno(errno, "enter the sandbox's users to mount a served folder");
    }
  }
  making.made.device = os::Fd(::open(device_path, O_RDWR | O_CLOEXEC));
  if (!making.made.device.valid()) {
    return Error::failed_precondition(
        std::string("this machine serves no folders: ") +
        Error::from_errno(errno, std::string("cannot open ") + device_path).message() +
        "; load the kernel's module fuse (`modprobe fuse`)");
  }
  if (making.user_namespace >= 0 &&
      (::syscall(SYS_setresgid, 0, 0, 0) != 0 || ::syscall(SYS_setresuid, 0, 0, 0) != 0)) {
    return Error::from_errno(errno, "become the sandbox's root to mount a served folder");
  }
  const os::MountOptions options = {
      {"source", "bucket"},       {"fd", std::to_string(making.made.device.get())},
      {"rootmode", "40000"},      {"user_id", "0"},
      {"group_id", "0"},          {"allow_other", ""},
      {"default_permissions", ""}};
  THAW_TRY(making.made.mount, os::make_mount("fuse", options, making.attributes));
  return ok();
}

// In a child that shares memory and descriptors, whose users and mounts end with it.
int make_in_child(void* given) {
  Making& making = *static_cast<Making*>(given);
  if (auto made = make(making); !made) {
    making.failure = std::move(made).error();
    return 1;
  }
  return 0;
}

}  // namespace

Result<void> serve_folder(const ServedFolder& folder, const os::Fd& target, RootOwner owner,
                          const os::Fd& report) {
  const bool read_only = folder.access == BindMount::Access::read_only;
  Making making{.user_namespace = owner.range.valid() ? owner.user_namespace->get() : -1,
                .attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                              (read_only ? MOUNT_ATTR_RDONLY : std::uint64_t{0})};
  THAW_TRY(const pid_t pid,
           os::run_in_borrowed_memory(make_in_child, &making, os::Descriptors::shared));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (making.failure) {
    return *making.failure;
  }
  THAW_TRY_VOID(os::attach_mount(making.made.mount, target));
  THAW_TRY(const os::Transfer sent,
           os::send_message(report.get(), Writer(Kind::served).bytes(),
                            {making.made.device.get(), making.made.mount.get()}));
  return sent == os::Transfer::done
             ? ok()
             : Result<void>(Error::unavailable("who wanted a sandbox is gone"));
}

}  // namespace thaw::sandbox::detail
