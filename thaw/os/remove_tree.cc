// SPDX-License-Identifier: Apache-2.0
//
// Trees are hostile: deeper than any path is long or any stack is high, changed while they go, with
// mounts and files in them that nobody may remove. So nothing recurses, each step is made from a
// descriptor, few of those are open at a time, and one entry that stays does not keep the others.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "thaw/os/files.h"

namespace thaw::os {

namespace {

// What is deeper is moved up to the tree's own top, and found there by its next pass.
constexpr std::size_t usual_levels = 64;
// For what cannot be moved: its folder takes no changes, or the disk no new names.
constexpr std::size_t most_levels = 512;
// Somebody may go on writing.
constexpr unsigned passes_of_top = 100'000;
constexpr unsigned passes_of_others = 8;

struct CloseFolder {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

class TreeRemoval {
 public:
  Result<void> run(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "."
                               : slash == 0               ? "/"
                                                          : path.substr(0, slash);
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    Fd fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      return errno == ENOENT ? ok() : Result<void>(Error::from_errno(errno, "open " + parent));
    }
    parent_ = std::move(fd);
    Level outside;  // stands for the parent, of which one entry goes
    take(parent_.get(), outside, name);
    while (!levels_.empty()) {
      if (const dirent* entry = ::readdir(levels_.back().stream.get())) {
        const std::string_view entry_name = entry->d_name;
        if (entry_name != "." && entry_name != "..") {
          take(::dirfd(levels_.back().stream.get()), levels_.back(), std::string(entry_name));
        }
      } else {
        finish_pass();
      }
    }
    return failure_ ? Result<void>(*failure_) : ok();
  }

 private:
  struct Level {
    std::string name;
    std::unique_ptr<DIR, CloseFolder> stream;
    unsigned passes = 0;
    // In this pass:
    std::size_t removed = 0;
    std::size_t failed = 0;
    std::size_t received = 0;
  };

  void fail(Level& level, int number, const std::string& name) {
    ++level.failed;
    if (!failure_) {
      std::string path;
      for (const Level& above : levels_) {
        path += above.name + "/";
      }
      path += name;
      constexpr std::size_t shown = 300;
      failure_ = Error::from_errno(
          number, "remove " + (path.size() > shown ? path.substr(0, shown) + "…" : path));
    }
  }

  // `level` is not to be used afterwards: this may begin another one.
  void take(int folder, Level& level, const std::string& name) {
    if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) {
      ++level.removed;
      return;
    }
    if (errno != EISDIR && errno != EPERM) {
      fail(level, errno, name);
      return;
    }
    const int as_file = errno;
    if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
      ++level.removed;
      return;
    }
    // Where a folder cannot go itself, what is below it mostly can.
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EPERM) {
      fail(level, errno == ENOTDIR ? as_file : errno, name);
      return;
    }
    if (levels_.size() >= usual_levels && move_to_top(folder, name)) {
      ++level.removed;
      return;
    }
    if (levels_.size() >= most_levels) {
      fail(level, ENAMETOOLONG, name);
      return;
    }
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;  // a mount is somebody else's
    const int fd = static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how));
    DIR* const stream = fd < 0 ? nullptr : ::fdopendir(fd);
    if (stream == nullptr) {
      const int number = errno;
      if (fd >= 0) {
        ::close(fd);
      }
      if (number != ENOENT) {
        fail(level, number == EXDEV ? EBUSY : number == ENOTDIR ? as_file : number, name);
      }
      return;
    }
    Level next;
    next.name = name;
    next.stream.reset(stream);
    levels_.push_back(std::move(next));
  }

  bool move_to_top(int folder, const std::string& name) {
    Level& top = levels_.front();
    for (int tries = 0; tries < 100; ++tries) {
      const std::string unused = ".removing-" + std::to_string(++moved_);
      if (::renameat2(folder, name.c_str(), ::dirfd(top.stream.get()), unused.c_str(),
                      RENAME_NOREPLACE) == 0) {
        ++top.received;
        return true;
      }
      if (errno != EEXIST) {
        return false;
      }
    }
    return false;
  }

  void finish_pass() {
    Level& level = levels_.back();
    const std::size_t depth = levels_.size();
    const int above = depth == 1 ? parent_.get() : ::dirfd(levels_[depth - 2].stream.get());
    const bool gone = ::unlinkat(above, level.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
    const int number = errno;
    const bool goes_on = level.received > 0 || (level.removed > 0 && level.failed == 0);
    if (!gone && goes_on && level.passes < (depth == 1 ? passes_of_top : passes_of_others)) {
      ::rewinddir(level.stream.get());
      ++level.passes;
      level.removed = level.failed = level.received = 0;
      return;
    }
    const Level done = std::move(level);
    levels_.pop_back();
    Level outside;
    Level& parent = depth == 1 ? outside : levels_.back();
    if (gone) {
      ++parent.removed;
    } else {
      fail(parent, number, done.name);
    }
  }

  Fd parent_;
  std::vector<Level> levels_;
  std::optional<Error> failure_;
  std::uint64_t moved_ = 0;
};

}  // namespace

Result<void> remove_tree(const std::string& path) {
  auto removed = TreeRemoval().run(path);
  if (!removed) {
    return std::move(removed).error().with("tree", path);
  }
  return ok();
}

}  // namespace thaw::os
