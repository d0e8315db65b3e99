// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/tree_use.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace thaw::worker {

namespace {

constexpr int entries_in_a_step = 2'000;
// Each costs a descriptor, of which there are enough for a few walks.
constexpr std::size_t most_levels = 100;
constexpr std::size_t most_later = 400;
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

}  // namespace

TreeUse::TreeUse(const std::string& folder) {
  os::Fd root(::open(folder.c_str(), folder_flags));
  struct stat status;
  if (root.valid() && ::fstat(root.get(), &status) == 0) {
    device_ = status.st_dev;
    enter(std::move(root));
  }
}

void TreeUse::enter(os::Fd folder) {
  if (DIR* opened = ::fdopendir(folder.get()); opened != nullptr) {
    (void)folder.release();
    levels_.emplace_back(opened);
  }
}

void TreeUse::look_at(int folder, const char* name) {
  struct stat status;
  if (::fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || status.st_dev != device_) {
    return;
  }
  const auto links = S_ISDIR(status.st_mode) ? 1 : std::max<std::uint64_t>(status.st_nlink, 1);
  bytes_ += static_cast<std::uint64_t>(status.st_blocks) * 512 / links;
  if (!S_ISDIR(status.st_mode)) {
    return;
  }
  os::Fd inner(::openat(folder, name, folder_flags));
  if (!inner.valid()) {
    return;
  }
  if (levels_.size() < most_levels) {
    enter(std::move(inner));
  } else if (later_.size() < most_later) {
    later_.push_back(std::move(inner));
  } else {
    is_incomplete_ = true;
  }
}

TreeUse::Progress TreeUse::step() {
  for (int looked = 0; looked < entries_in_a_step; ++looked) {
    if (levels_.empty() && later_.empty()) {
      return Progress::done;
    }
    if (levels_.empty()) {
      os::Fd next = std::move(later_.front());
      later_.pop_front();
      enter(std::move(next));
      continue;
    }
    const dirent* found = ::readdir(levels_.back().get());
    if (found == nullptr) {
      levels_.pop_back();
      continue;
    }
    if (std::strcmp(found->d_name, ".") != 0 && std::strcmp(found->d_name, "..") != 0) {
      ++entries_;
      look_at(::dirfd(levels_.back().get()), found->d_name);
    }
  }
  return Progress::more;
}

}  // namespace thaw::worker
