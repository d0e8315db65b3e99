// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volume_listing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace thaw::worker {

namespace {

constexpr std::size_t piece_size = 500;
// Each level holds one descriptor.
constexpr std::size_t deepest = 200;

VolumeEntry entry_of(std::string path, const struct stat& status) {
  using Type = VolumeEntry::Type;
  VolumeEntry entry;
  entry.path = std::move(path);
  entry.modified_s = status.st_mtim.tv_sec;
  switch (status.st_mode & S_IFMT) {
    case S_IFREG: entry.type = Type::file; break;
    case S_IFDIR: entry.type = Type::folder; break;
    case S_IFLNK: entry.type = Type::link; break;
    case S_IFIFO: entry.type = Type::fifo; break;
    case S_IFSOCK: entry.type = Type::socket; break;
    default: break;
  }
  entry.size = entry.type == Type::file ? static_cast<std::uint64_t>(status.st_size) : 0;
  return entry;
}

}  // namespace

Result<VolumeListing> VolumeListing::open(const VolumeFolder& volume, const std::string& path,
                                          Depth depth) {
  VolumeListing listing;
  listing.depth_ = depth;
  THAW_TRY(const os::Fd start, open_in_volume(volume.files, path, O_PATH));
  struct stat status;
  if (::fstat(start.get(), &status) != 0) {
    return Error::from_errno(errno, "cannot look at '" + path + "' in the volume");
  }
  if (S_ISDIR(status.st_mode)) {
    THAW_TRY(os::Fd folder, open_in_volume(volume.files, path, O_RDONLY | O_DIRECTORY));
    THAW_TRY_VOID(listing.enter(std::move(folder), path.empty() ? "" : path + "/"));
  } else {
    listing.single_.push_back(entry_of(path, status));
  }
  return listing;
}

Result<void> VolumeListing::enter(os::Fd folder, std::string prefix) {
  Level level;
  level.folder.reset(::fdopendir(folder.get()));
  if (!level.folder) {
    return Error::from_errno(errno, "cannot list '" + prefix + "' in the volume");
  }
  (void)folder.release();
  level.prefix = std::move(prefix);
  levels_.push_back(std::move(level));
  return ok();
}

void VolumeListing::read_piece(Level& level, std::vector<VolumeEntry>& out) {
  const std::size_t before = out.size();
  const int fd = ::dirfd(level.folder.get());
  while (out.size() - before < piece_size) {
    const dirent* found = ::readdir(level.folder.get());
    if (found == nullptr) {
      break;
    }
    const std::string name = found->d_name;
    struct stat status;
    if (name != "." && name != ".." &&
        ::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      out.push_back(entry_of(level.prefix + name, status));
    }
  }
  std::sort(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(),
            [](const VolumeEntry& a, const VolumeEntry& b) { return a.path < b.path; });
  if (depth_ == Depth::recursive && levels_.size() < deepest) {
    // Walked from the back.
    for (std::size_t i = out.size(); i > before; --i) {
      if (out[i - 1].type == VolumeEntry::Type::folder) {
        level.entered.push_back(out[i - 1].path.substr(level.prefix.size()));
      }
    }
  }
}

Result<std::vector<VolumeEntry>> VolumeListing::next() {
  std::vector<VolumeEntry> out = std::exchange(single_, {});
  while (!levels_.empty() && out.size() < piece_size) {
    Level& level = levels_.back();
    if (!level.entered.empty()) {
      const std::string name = std::move(level.entered.back());
      level.entered.pop_back();
      os::Fd folder(::openat(::dirfd(level.folder.get()), name.c_str(),
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (folder.valid()) {
        THAW_TRY_VOID(enter(std::move(folder), level.prefix + name + "/"));
      }
      continue;
    }
    const std::size_t before = out.size();
    read_piece(level, out);
    if (out.size() == before) {
      levels_.pop_back();
    }
  }
  return out;
}

}  // namespace thaw::worker
