// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/program_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

namespace thaw::dialect::modal {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view prefix = "program-";

// -1: somebody has it, or it cannot be made.
int take_lock(const std::string& path, int how) {
  constexpr int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd >= 0 && ::flock(fd, how) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

// Held while folders are made and looked at: one without a held lock is a dead one's then.
class Guard {
 public:
  explicit Guard(const std::string& folder) : fd_(take_lock(folder + "/programs.lock", LOCK_EX)) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { ::close(fd_); }

 private:
  int fd_;
};

void remove_dead(const std::string& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (auto entry = fs::directory_iterator(folder, error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    // A link of that name leads to what is nobody's program.
    std::error_code gone;
    if (entry->path().filename().string().starts_with(prefix) &&
        fs::is_directory(fs::symlink_status(entry->path(), gone))) {
      found.push_back(entry->path());
    }
  }
  for (const fs::path& path : found) {
    if (const int lock = take_lock(path.string() + "/lock", LOCK_EX | LOCK_NB); lock >= 0) {
      fs::remove_all(path, error);
      ::close(lock);
    }
  }
}

}  // namespace

Result<ProgramFolder> ProgramFolder::make(const std::string& folder, const std::string& name) {
  std::error_code error;
  fs::create_directories(folder, error);
  const Guard guard(folder);
  remove_dead(folder);
  ProgramFolder made;
  made.path_ = folder + "/" + std::string(prefix) + name;
  fs::create_directories(made.path_, error);
  made.lock_ = take_lock(made.path_ + "/lock", LOCK_EX | LOCK_NB);
  if (made.lock_ < 0) {
    const std::string path = std::exchange(made.path_, "");
    return Error::unavailable("cannot make " + path + "; is the disk full?");
  }
  return made;
}

void ProgramFolder::sweep(const std::string& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) {
    const Guard guard(folder);
    remove_dead(folder);
  }
}

ProgramFolder::~ProgramFolder() {
  std::error_code ignored;
  if (!path_.empty()) {
    fs::remove_all(path_, ignored);
  }
  if (lock_ >= 0) {
    ::close(lock_);
  }
}

}  // namespace thaw::dialect::modal
