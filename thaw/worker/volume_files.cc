// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volume_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/os/files.h"

namespace thaw::worker {

using os::Fd;

namespace {

constexpr int deepest = 200;

Error system_failure(const std::string& what, const std::string& path) {
  return Error::from_errno(errno, "cannot " + what + " '" + path + "' in the volume");
}

// Inode numbers are used again; together with the moment of birth they are not.
Result<VolumeFile> identify(const Fd& file, const std::string& path) {
  struct statx status;
  if (::statx(file.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) {
    return system_failure("look at", path);
  }
  if (!S_ISREG(status.stx_mode)) {
    return Error::failed_precondition("'" + path + "' is not a file of the volume");
  }
  const auto& born = (status.stx_mask & STATX_BTIME) != 0 ? status.stx_btime : status.stx_ctime;
  return VolumeFile{status.stx_size, std::to_string(status.stx_ino) + "x" +
                                         std::to_string(born.tv_sec) + "x" +
                                         std::to_string(born.tv_nsec)};
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

struct Copying {
  const VolumeFolder& volume;
  Subtree subtree;
};

Result<void> copy_one_file(const Copying& copying, int from_folder, int to_folder,
                           const std::string& from, const std::string& to, unsigned mode) {
  const Fd source(
      ::openat(from_folder, from.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  const std::string draft = staged_name("copy");
  const Fd copy(::openat(copying.volume.staging.get(), draft.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!source.valid() || !copy.valid()) {
    return system_failure("copy", from);
  }
  auto copied = append_file(source, copy, 0);
  if (copied && ::fchmod(copy.get(), mode & 0777) == 0 &&
      ::renameat(copying.volume.staging.get(), draft.c_str(), to_folder, to.c_str()) == 0) {
    return ok();
  }
  Error failure = copied ? system_failure("copy to", to) : std::move(copied).error();
  ::unlinkat(copying.volume.staging.get(), draft.c_str(), 0);
  return failure;
}

Result<void> copy_entry(const Copying& copying, int from_folder, int to_folder,
                        const std::string& from, const std::string& to, int depth);

Result<void> copy_folder(const Copying& copying, int from_folder, int to_folder,
                         const std::string& from, const std::string& to, int depth) {
  if (copying.subtree == Subtree::refuse) {
    return Error::invalid_argument("'" + from + "' is a folder; copy it with recursive=True (-r)");
  }
  if (depth >= deepest) {
    return Error::failed_precondition("the folder '" + from + "' is too deep to be copied");
  }
  if (::mkdirat(to_folder, to.c_str(), 0755) != 0 && errno != EEXIST) {
    return system_failure("make the folder", to);
  }
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const Fd target(::openat(to_folder, to.c_str(), flags));
  const int source = ::openat(from_folder, from.c_str(), flags);
  const std::unique_ptr<DIR, CloseFolder> folder(source < 0 ? nullptr : ::fdopendir(source));
  if (!target.valid() || !folder) {
    return system_failure("copy the folder", from);
  }
  while (const dirent* found = ::readdir(folder.get())) {
    const std::string name = found->d_name;
    if (name != "." && name != "..") {
      THAW_TRY_VOID(copy_entry(copying, source, target.get(), name, name, depth + 1));
    }
  }
  return ok();
}

Result<void> copy_entry(const Copying& copying, int from_folder, int to_folder,
                        const std::string& from, const std::string& to, int depth) {
  struct stat status;
  if (::fstatat(from_folder, from.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT && depth > 0 ? ok() : Result<void>(system_failure("copy", from));
  }
  if (S_ISDIR(status.st_mode)) {
    return copy_folder(copying, from_folder, to_folder, from, to, depth);
  }
  if (S_ISREG(status.st_mode)) {
    return copy_one_file(copying, from_folder, to_folder, from, to, status.st_mode);
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

Result<VolumeFile> look_at_file(const VolumeFolder& volume, const std::string& path) {
  THAW_TRY(const Fd file, open_in_volume(volume.files, path, O_PATH));
  return identify(file, path);
}

Result<Fd> open_range(const VolumeFolder& volume, const FileRange& range) {
  // A fifo would make an opener wait for its other end.
  THAW_TRY(Fd file, open_in_volume(volume.files, range.path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  THAW_TRY(const VolumeFile found, identify(file, range.path));
  if (found.identity != range.identity || found.size < range.offset ||
      found.size - range.offset < range.size) {
    return Error::aborted("'" + range.path + "' was replaced or cut while it was read; read again");
  }
  return file;
}

Result<void> remove_entry(const VolumeFolder& volume, const std::string& path, Subtree subtree) {
  THAW_TRY(const Place place, place_in_volume(volume.files, path, MissingParents::fail));
  struct stat status;
  if (::fstatat(place.parent.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Error::not_found("'" + path + "' does not exist in the volume")
                           : system_failure("remove", path);
  }
  if (S_ISDIR(status.st_mode) && subtree == Subtree::refuse) {
    return Error::invalid_argument("'" + path +
                                   "' is a folder; remove it with recursive=True (-r)");
  }
  const std::string name = staged_name("trash");
  if (::renameat(place.parent.get(), place.name.c_str(), volume.staging.get(), name.c_str()) != 0) {
    return system_failure("remove", path);
  }
  // Gone for who looks; if some of it stays, sweeps try again.
  const std::string staged = "/proc/self/fd/" + std::to_string(volume.staging.get()) + "/" + name;
  if (const Result<void> removed = os::remove_tree(staged); !removed) {
    log_warning("removed files of a volume are still on the disk",
                {{"path", path.substr(0, 200)}, {"error", removed.error().to_string()}});
  }
  return ok();
}

Result<void> copy_entries(const VolumeFolder& volume, const std::vector<std::string>& from,
                          const std::string& to, Subtree subtree) {
  Copying copying{volume, subtree};
  auto into = open_in_volume(volume.files, to, O_PATH | O_DIRECTORY);
  const bool is_folder = static_cast<bool>(into);
  if (!is_folder && from.size() > 1) {
    return Error::failed_precondition("'" + to + "' is not a folder of the volume");
  }
  Place target;
  if (is_folder) {
    target.parent = std::move(*into);
  } else {
    THAW_TRY(target, place_in_volume(volume.files, to, MissingParents::fail));
  }
  for (const std::string& path : from) {
    THAW_TRY(const Place source, place_in_volume(volume.files, path, MissingParents::fail));
    struct stat status;
    if (::fstatat(source.parent.get(), source.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno == ENOENT ? Error::not_found("'" + path + "' does not exist in the volume")
                             : system_failure("copy", path);
    }
    const std::string& name = is_folder ? source.name : target.name;
    struct stat there;
    if (::fstatat(target.parent.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        same_file(there, status)) {
      return Error::invalid_argument("'" + path + "' cannot be copied onto itself");
    }
    if (S_ISDIR(status.st_mode) && is_below(volume, to, status)) {
      return Error::invalid_argument("'" + path + "' cannot be copied into itself");
    }
    THAW_TRY_VOID(
        copy_entry(copying, source.parent.get(), target.parent.get(), source.name, name, 0));
  }
  return ok();
}

Result<std::uint64_t> append_file(const Fd& from, const Fd& to, std::uint64_t offset) {
  auto out = static_cast<off64_t>(offset);
  std::string buffer;
  while (true) {
    constexpr std::size_t most = 64u << 20;
    ssize_t n = buffer.empty() ? ::copy_file_range(from.get(), nullptr, to.get(), &out, most, 0)
                               : ::read(from.get(), buffer.data(), buffer.size());
    const bool cannot_share =
        errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0 && buffer.empty() && cannot_share) {
      buffer.resize(1 << 20);
      continue;
    }
    if (n < 0) {
      return Error::from_errno(errno, "cannot copy a file of the volume");
    }
    if (n == 0) {
      return static_cast<std::uint64_t>(out) - offset;
    }
    for (ssize_t done = 0; !buffer.empty() && done < n;) {
      const ssize_t written =
          ::pwrite(to.get(), buffer.data() + done, static_cast<std::size_t>(n - done), out);
      if (written < 0) {
        return Error::from_errno(errno, "cannot copy a file of the volume");
      }
      done += written;
      out += written;
    }
  }
}

std::string staged_name(std::string_view suffix) {
  return codec::random_lower(26) + "." + std::string(suffix);
}

}  // namespace thaw::worker
