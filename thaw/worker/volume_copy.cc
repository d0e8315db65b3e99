// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volume_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace thaw::worker {

using os::Fd;

namespace {

// Each level holds two descriptors.
constexpr std::size_t deepest = 200;
constexpr int entries_in_a_step = 500;

Error system_failure(const std::string& what, const std::string& path) {
  const std::string text = "cannot " + what + " '" + path + "' in the volume";
  if (errno == EISDIR || errno == ENOTDIR) {
    return Error::failed_precondition(text + ": " + std::strerror(errno));
  }
  return Error::from_errno(errno, text);
}

Fd duplicate(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Whether `folder`, or one above it, is `other`: copying there would never end.
bool is_below(const VolumeFolder& volume, const std::string& folder, const struct stat& other) {
  for (std::string at = folder;; at = at.substr(0, std::max(at.rfind('/'), std::size_t{0}))) {
    struct stat status;
    const auto fd = open_in_volume(volume.files, at, O_PATH);
    if (fd && ::fstat(fd->get(), &status) == 0 && same_file(status, other)) {
      return true;
    }
    if (at.find('/') == std::string::npos) {
      return false;
    }
  }
}

}  // namespace

Result<std::shared_ptr<VolumeCopy>> VolumeCopy::begin(const VolumeFolder& volume,
                                                      std::vector<std::string> from,
                                                      const std::string& to, Subtree subtree) {
  std::shared_ptr<VolumeCopy> copy(new VolumeCopy(subtree));
  copy->volume_.files = duplicate(volume.files.get());
  copy->volume_.staging = duplicate(volume.staging.get());
  copy->to_ = to;
  auto into = open_in_volume(volume.files, to, O_PATH | O_DIRECTORY);
  if (into) {
    copy->into_ = std::move(*into);
  } else if (from.size() > 1) {
    return Error::failed_precondition("'" + to + "' is not a folder of the volume");
  } else {
    THAW_TRY(Place target, place_in_volume(volume.files, to, MissingParents::fail));
    copy->into_ = std::move(target.parent);
    copy->name_ = std::move(target.name);
  }
  copy->sources_.assign(from.begin(), from.end());
  return copy;
}

VolumeCopy::~VolumeCopy() {
  if (draft_) {
    ::unlinkat(volume_.staging.get(), draft_->name.c_str(), 0);
  }
}

Result<VolumeCopy::Progress> VolumeCopy::step() {
  std::uint64_t moved = 0;
  for (int entries = 0; entries < entries_in_a_step && moved < copy_step_bytes; ++entries) {
    if (draft_) {
      THAW_TRY(const Progress progress, draft_->bytes->step(draft_->file));
      moved += std::min(draft_->bytes->size(), copy_step_bytes);
      if (progress == Progress::done) {
        THAW_TRY_VOID(finish_file());
        draft_.reset();
      }
    } else if (!levels_.empty()) {
      THAW_TRY_VOID(next_entry());
    } else if (!sources_.empty()) {
      THAW_TRY_VOID(next_source());
    } else {
      return Progress::done;
    }
  }
  return Progress::more;
}

Result<void> VolumeCopy::next_source() {
  const std::string path = std::move(sources_.front());
  sources_.pop_front();
  THAW_TRY(const Place source, place_in_volume(volume_.files, path, MissingParents::fail));
  struct stat status;
  if (::fstatat(source.parent.get(), source.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Error::not_found("'" + path + "' does not exist in the volume")
                           : system_failure("copy", path);
  }
  const std::string& name = name_.empty() ? source.name : name_;
  struct stat there;
  if (::fstatat(into_.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      same_file(there, status)) {
    return Error::invalid_argument("'" + path + "' cannot be copied onto itself");
  }
  if (S_ISDIR(status.st_mode) && is_below(volume_, to_, status)) {
    return Error::invalid_argument("'" + path + "' cannot be copied into itself");
  }
  return entry(source.parent.get(), into_.get(), source.name, name);
}

Result<void> VolumeCopy::next_entry() {
  Level& level = levels_.back();
  const dirent* found = ::readdir(level.from.get());
  if (found == nullptr) {
    levels_.pop_back();
    return ok();
  }
  const std::string name = found->d_name;
  if (name == "." || name == "..") {
    return ok();
  }
  // Entering a folder moves the levels: the descriptors stay what they are.
  return entry(::dirfd(level.from.get()), level.to.get(), name, name);
}

Result<void> VolumeCopy::entry(int from_folder, int to_folder, const std::string& from,
                               const std::string& to) {
  struct stat status;
  if (::fstatat(from_folder, from.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT && !levels_.empty() ? ok() : Result<void>(system_failure("copy", from));
  }
  if (S_ISDIR(status.st_mode)) {
    return enter(from_folder, to_folder, from, to);
  }
  if (S_ISREG(status.st_mode)) {
    return begin_file(from_folder, to_folder, from, to, status.st_mode);
  }
  if (S_ISLNK(status.st_mode)) {
    std::string text(4096, '\0');
    const ssize_t n = ::readlinkat(from_folder, from.c_str(), text.data(), text.size());
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 || (::symlinkat(text.c_str(), to_folder, to.c_str()) != 0 && errno != EEXIST)) {
      return system_failure("copy the link", from);
    }
  }
  return ok();
}

Result<void> VolumeCopy::enter(int from_folder, int to_folder, const std::string& from,
                               const std::string& to) {
  if (subtree_ == Subtree::refuse) {
    return Error::invalid_argument("'" + from + "' is a folder; copy it with recursive=True (-r)");
  }
  if (levels_.size() >= deepest) {
    return Error::failed_precondition("the folder '" + from + "' is too deep to be copied");
  }
  if (::mkdirat(to_folder, to.c_str(), 0755) != 0 && errno != EEXIST) {
    return system_failure("make the folder", to);
  }
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Level level;
  level.to = Fd(::openat(to_folder, to.c_str(), flags));
  const int source = ::openat(from_folder, from.c_str(), flags);
  level.from.reset(source < 0 ? nullptr : ::fdopendir(source));
  if (!level.to.valid() || !level.from) {
    return system_failure("copy the folder", from);
  }
  levels_.push_back(std::move(level));
  return ok();
}

Result<void> VolumeCopy::begin_file(int from_folder, int to_folder, const std::string& from,
                                    const std::string& to, unsigned mode) {
  Fd source(::openat(from_folder, from.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  Draft draft;
  draft.name = staged_name("copy");
  draft.folder = duplicate(to_folder);
  draft.target = to;
  draft.mode = mode;
  if (!source.valid() || !draft.folder.valid()) {
    return system_failure("copy", from);
  }
  THAW_TRY(draft.bytes, ByteCopy::begin(std::move(source), 0));
  draft.file = Fd(::openat(volume_.staging.get(), draft.name.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!draft.file.valid()) {
    return system_failure("copy", from);
  }
  draft_ = std::move(draft);
  return ok();
}

Result<void> VolumeCopy::finish_file() {
  if (::fchmod(draft_->file.get(), draft_->mode & 0777) != 0 ||
      ::renameat(volume_.staging.get(), draft_->name.c_str(), draft_->folder.get(),
                 draft_->target.c_str()) != 0) {
    return system_failure("copy to", draft_->target);
  }
  return ok();
}

}  // namespace thaw::worker
