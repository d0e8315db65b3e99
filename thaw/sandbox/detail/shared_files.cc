// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/shared_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace thaw::sandbox::detail {

namespace {

constexpr const char* shared_folder = "/dev/shm";
constexpr const char* kept_folder = "shm";
constexpr std::size_t most_files = 1000;
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

Error failed(const std::string& what) { return Error::from_errno(errno, what); }

Result<void> copy_bytes(const os::Fd& from, const os::Fd& to, off_t size) {
  // What was never written takes no room, and stays so.
  if (::ftruncate(to.get(), size) != 0) {
    return failed("keep a file of /dev/shm");
  }
  for (off_t at = 0; (at = ::lseek(from.get(), at, SEEK_DATA)) >= 0 && at < size;) {
    const off_t end = ::lseek(from.get(), at, SEEK_HOLE);
    if (end < 0 || ::lseek(to.get(), at, SEEK_SET) < 0) {
      return failed("keep a file of /dev/shm");
    }
    while (at < end) {
      const ssize_t n = ::sendfile(to.get(), from.get(), &at, static_cast<std::size_t>(end - at));
      if (n <= 0) {
        return failed("copy a file of /dev/shm");
      }
    }
  }
  return ok();
}

Result<void> copy_file(const os::Fd& from, const os::Fd& to, const std::string& name,
                       std::uint64_t max_bytes, IdRange range) {
  const os::Fd source(
      ::openat(from.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!source.valid() || ::fstat(source.get(), &status) != 0) {
    return failed("open " + name);
  }
  if (!S_ISREG(status.st_mode)) {
    return Error::failed_precondition("/dev/shm/" + name +
                                      " is no plain file, and a snapshot would not bring it back");
  }
  if (max_bytes != 0 && static_cast<std::uint64_t>(status.st_blocks) * 512 > max_bytes) {
    return Error::failed_precondition("the shared memory " + name + " is too large");
  }
  const os::Fd target(
      ::openat(to.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target.valid()) {
    return failed("make the shared memory " + name);
  }
  THAW_TRY_VOID(copy_bytes(source, target, status.st_size));
  if (::fchown(target.get(), status.st_uid - range.first, status.st_gid - range.first) != 0 ||
      ::fchmod(target.get(), status.st_mode & 0777) != 0) {
    return failed("keep the owner of " + name);
  }
  return ok();
}

// By descriptor: no path leads to the images, and /proc is of other processes.
Result<std::vector<std::string>> names_in(const os::Fd& folder) {
  os::Fd copy(::openat(folder.get(), ".", folder_flags));
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(copy.get()), ::closedir);
  if (!list) {
    return failed("list shared memory");
  }
  (void)copy.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names.push_back(name);
    }
    if (names.size() > most_files) {
      return Error::failed_precondition("there are too many files in /dev/shm");
    }
  }
  return names;
}

Result<void> copy_all(const os::Fd& from, const os::Fd& to, std::uint64_t max_bytes,
                      IdRange range) {
  THAW_TRY(const auto names, names_in(from));
  for (const std::string& name : names) {
    THAW_TRY_VOID(copy_file(from, to, name, max_bytes, range));
  }
  return ok();
}

Result<os::Fd> open_shared_folder() {
  os::Fd folder(::open(shared_folder, folder_flags));
  struct statfs system {};
  if (!folder.valid() || ::fstatfs(folder.get(), &system) != 0) {
    return failed("open /dev/shm");
  }
  if (system.f_type != TMPFS_MAGIC) {
    return Error::failed_precondition("/dev/shm is not in memory");
  }
  return folder;
}

}  // namespace

Result<void> keep_shared_files(const os::Fd& images, std::uint64_t max_bytes, IdRange range) {
  THAW_TRY(const os::Fd shared, open_shared_folder());
  THAW_TRY(const auto names, names_in(shared));
  if (names.empty()) {
    return ok();
  }
  if (::mkdirat(images.get(), kept_folder, 0700) != 0) {
    return failed("make a folder for shared memory");
  }
  const os::Fd kept(::openat(images.get(), kept_folder, folder_flags));
  if (!kept.valid()) {
    return failed("open the folder for shared memory");
  }
  return copy_all(shared, kept, max_bytes, range);
}

Result<void> bring_back_shared_files(const os::Fd& images) {
  const os::Fd kept(::openat(images.get(), kept_folder, folder_flags));
  if (!kept.valid()) {
    return errno == ENOENT ? ok() : Result<void>(failed("open the kept shared memory"));
  }
  THAW_TRY(const os::Fd shared, open_shared_folder());
  return copy_all(kept, shared, 0, {});
}

}  // namespace thaw::sandbox::detail
