// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/owned_folders.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "thaw/os/files.h"
#include "thaw/os/mount.h"

namespace thaw::sandbox::detail {

namespace {

bool is_same(const os::Fd& a, const os::Fd& b) {
  struct stat one {
  }, other{};
  return a.valid() && ::fstat(a.get(), &one) == 0 && ::fstat(b.get(), &other) == 0 &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace

Result<os::Fd> OwnedFolders::open(const std::string& path) {
  THAW_TRY(os::Fd folder, os::open_file(path, O_PATH | O_DIRECTORY));
  if (!owner_.range.valid()) {
    return folder;
  }
  const std::size_t slash = path.find_last_of('/');
  const std::string name = path.substr(slash + 1);
  if (slash != 0 && slash != std::string::npos && !name.empty() && name != "." && name != "..") {
    if (const auto parent = mount_of(path.substr(0, slash))) {
      os::Fd below(
          ::openat((*parent)->get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (is_same(below, folder)) {
        return below;
      }
    }
  }
  // A link, or a mount of its own.
  THAW_TRY(const os::Fd* const own, mount_of(path));
  os::Fd root(::openat(own->get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!is_same(root, folder)) {
    return Error::internal("a layer is not what it was a moment ago").with("layer", path);
  }
  return root;
}

Result<void> OwnedFolders::attach(const os::Fd& top) {
  int count = 0;
  for (const auto& [path, mount] : mounts_) {
    const std::string name = "layers" + std::to_string(count++);
    if (::mkdirat(top.get(), name.c_str(), 0700) != 0) {
      return Error::from_errno(errno, "make a place for layers");
    }
    const os::Fd point(::openat(top.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    THAW_TRY_VOID(os::attach_mount(mount, point));
  }
  return ok();
}

Result<const os::Fd*> OwnedFolders::mount_of(const std::string& path) {
  const auto found = mounts_.find(path);
  if (found != mounts_.end()) {
    return &found->second;
  }
  THAW_TRY(const os::Fd folder, os::open_file(path, O_PATH | O_DIRECTORY));
  THAW_TRY(os::Fd mount, os::copy_mount(folder.get(), ""));
  auto mapped = os::map_ids(mount, *owner_.user_namespace, 0);
  if (!mapped) {
    return std::move(mapped).error().with("folder", path);
  }
  return &(mounts_[path] = std::move(mount));
}

}  // namespace thaw::sandbox::detail
