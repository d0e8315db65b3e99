// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volume_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/os/files.h"

namespace thaw::worker {

using os::Fd;

namespace {

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

std::string staged_name(std::string_view suffix) {
  return codec::random_lower(26) + "." + std::string(suffix);
}

}  // namespace thaw::worker
