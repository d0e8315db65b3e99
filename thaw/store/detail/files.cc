// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace thaw::store::detail {

Result<os::Fd> open_file(const std::string& path, int flags, mode_t mode) {
  // What is a pipe by mistake is seen to be empty, instead of being waited for.
  os::Fd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, mode));
  if (!fd.valid()) {
    return Error::from_errno(errno, "cannot open " + path);
  }
  return fd;
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return Error::from_errno(errno, "cannot write " + path);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return ok();
}

Result<std::string> read_some(int fd, std::size_t max_bytes, const std::string& path) {
  std::string bytes(max_bytes, '\0');
  std::size_t filled = 0;
  while (filled < max_bytes) {
    const ssize_t got = ::read(fd, bytes.data() + filled, max_bytes - filled);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return Error::from_errno(errno, "cannot read " + path);
    }
    if (got == 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

Result<std::uint64_t> size_of(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return Error::from_errno(errno, "cannot stat " + path);
  }
  return static_cast<std::uint64_t>(status.st_size);
}

Result<void> sync_file(int fd, const std::string& path) {
  if (::fsync(fd) != 0) {
    return Error::from_errno(errno, "cannot sync " + path);
  }
  return ok();
}

Result<void> sync_folder(const std::string& path) {
  THAW_TRY(const os::Fd folder, open_file(path, O_RDONLY | O_DIRECTORY, 0));
  return sync_file(folder.get(), path);
}

Result<void> rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return Error::from_errno(errno, "cannot rename " + from + " to " + to);
  }
  return ok();
}

Result<bool> make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    THAW_TRY_VOID(sync_folder(parent_of(path)));
    return true;
  }
  if (errno == ENOENT && parent_of(path) != path) {
    THAW_TRY([[maybe_unused]] const bool made, make_folder(parent_of(path)));
    return make_folder(path);
  }
  struct stat status {};
  if (errno == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return false;
  }
  return Error::from_errno(errno, "cannot make the folder " + path);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string parent_of(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  const std::size_t slash = end == std::string::npos ? 0 : path.rfind('/', end);
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace thaw::store::detail
