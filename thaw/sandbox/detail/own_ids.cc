// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/own_ids.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/os/mount.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/user_namespace.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

MakingFilesAs::MakingFilesAs(IdRange range) : range_(range) {
  if (range_.valid()) {
    bits_ = static_cast<unsigned long>(::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    ::prctl(PR_SET_SECUREBITS, bits_ | SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
    ::setfsgid(range_.first);
    ::setfsuid(range_.first);
  }
}

MakingFilesAs::~MakingFilesAs() {
  if (range_.valid()) {
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
    ::prctl(PR_SET_SECUREBITS, bits_, 0, 0, 0);
  }
}

namespace {

Result<os::Fd> open_below(const os::Fd& folder, const char* name) {
  os::Fd fd(::openat(folder.get(), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return Error::from_errno(errno, std::string("open ") + name);
  }
  return fd;
}

// In a child. `folder` has "lower", "upper" and "work".
Result<void> write_as_sandbox(const std::string& folder, std::vector<std::string> shown,
                              IdRange range) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Error::from_errno(errno, "make a mount namespace");
  }
  THAW_TRY(const os::Fd users, make_user_namespace(range));
  shown.push_back(machine_folder("servers"));  // sockets of containers lie beside it
  shown.push_back(folder);
  for (const std::string& path : shown) {
    THAW_TRY(const os::Fd mount, os::copy_mount(AT_FDCWD, path));
    if (auto mapped = os::map_ids(mount, users, 0); !mapped) {
      return std::move(mapped).error().with("folder", path);
    }
    THAW_TRY(const os::Fd point, os::open_file(path, O_PATH | O_DIRECTORY));
    THAW_TRY_VOID(os::attach_mount(mount, point));
  }
  THAW_TRY(const os::Fd own, os::open_file(folder, O_PATH | O_DIRECTORY));
  const MakingFilesAs making(range);
  os::OverlayOptions options;
  THAW_TRY(os::Fd lower, open_below(own, "lower"));
  options.layers.push_back(std::move(lower));
  THAW_TRY(options.upper, open_below(own, "upper"));
  THAW_TRY(options.work, open_below(own, "work"));
  options.staging = folder + "/root";
  THAW_TRY(const os::Fd overlay, os::make_overlay(options));
  const os::Fd file(::openat(overlay.get(), "written", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) {
    return Error::from_errno(errno, "write into an overlay with ids of its own");
  }
  return ok();
}

Result<void> try_in_child(const std::string& folder, const std::vector<std::string>& shown,
                          IdRange range) {
  THAW_TRY(auto pair, os::make_message_pair());
  THAW_TRY(const os::Cloned child, os::clone_process({}));
  if (child.pid == 0) {
    if (const auto written = write_as_sandbox(folder, shown, range); !written) {
      (void)os::send_message(pair.second.get(), encode_failure(written.error()));
    }
    ::_exit(0);
  }
  pair.second.reset();
  os::Message message;
  const auto received = os::receive_message(pair.first.get(), message);
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (received && *received == os::Transfer::done) {
    Reader reader(message.bytes);
    (void)reader.kind();
    return decode_failure(reader);
  }
  struct stat file {};
  if (::lstat((folder + "/upper/written").c_str(), &file) != 0 || file.st_uid != 0) {
    return Error::failed_precondition("a file written by a sandbox is not root's on disk");
  }
  return ok();
}

}  // namespace

Result<void> try_own_ids(const std::string& folder, const std::vector<std::string>& shown,
                         IdRange range) {
  const std::string place = folder + "/ids-" + std::to_string(::getpid());
  for (const char* name : {"/lower", "/upper", "/work", "/root"}) {
    THAW_TRY_VOID(os::make_folders(place + name, 0755));
  }
  auto tried = try_in_child(place, shown, range);
  (void)os::remove_tree(place);
  return tried;
}

}  // namespace thaw::sandbox::detail
