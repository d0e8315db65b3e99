// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "thaw/store/detail/files.h"

namespace thaw::store {

namespace {

// What is in a data folder is for its owner only. A folder that is open to others and holds
// something else (such as /tmp) is not ours to close.
Result<void> close_to_others(const std::string& path) {
  struct stat now {};
  if (::stat(path.c_str(), &now) != 0) {
    return Error::from_errno(errno, "cannot look at the data folder " + path);
  }
  if ((now.st_mode & 07777) == 0700) {
    return ok();
  }
  std::error_code error;
  const bool ours =
      std::filesystem::exists(path + "/lock", error) || std::filesystem::is_empty(path, error);
  if (error || !ours) {
    return Error::failed_precondition("the folder " + path +
                                      " is open to others and holds what is not Thaw's; choose "
                                      "another data folder, or chmod 0700 it");
  }
  if (::chmod(path.c_str(), 0700) != 0) {
    return Error::from_errno(errno, "cannot close the data folder " + path + " to others");
  }
  return ok();
}

}  // namespace

Result<DataFolder> DataFolder::claim(const std::string& path) {
  THAW_TRY([[maybe_unused]] const bool made, detail::make_folder(path));
  THAW_TRY_VOID(close_to_others(path));
  const std::string lock = path + "/lock";
  THAW_TRY(os::Fd file, detail::open_file(lock, O_RDWR | O_CREAT, 0600));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return Error::from_errno(errno, "cannot lock " + lock);
    }
    const auto pid = detail::read_some(file.get(), 32, lock);
    const std::string holder = pid && !pid->empty() ? *pid : "unknown";
    return Error::failed_precondition("the data folder " + path +
                                      " is in use by another server (pid " + holder +
                                      "); stop it, or choose another folder");
  }
  if (::ftruncate(file.get(), 0) != 0) {
    return Error::from_errno(errno, "cannot write " + lock);
  }
  THAW_TRY_VOID(detail::write_all(file.get(), std::to_string(::getpid()), lock));
  DataFolder folder;
  folder.path_ = path;
  folder.lock_fd_ = file.release();
  return folder;
}

DataFolder::DataFolder(DataFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}

DataFolder& DataFolder::operator=(DataFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_fd_, other.lock_fd_);
  return *this;
}

DataFolder::~DataFolder() {
  if (lock_fd_ >= 0) {
    ::close(lock_fd_);
  }
}

}  // namespace thaw::store
