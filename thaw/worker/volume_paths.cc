// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volume_paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>

#include "thaw/os/files.h"

namespace thaw::worker {

using os::Fd;

namespace {

constexpr std::size_t longest_name = 255;
constexpr std::size_t longest_path = 4000;

constexpr std::uint64_t inside_only = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

Error cannot(int error_number, const std::string& what, const std::string& path) {
  if (error_number == ENOENT) {
    return Error::not_found("'" + path + "' does not exist in the volume");
  }
  if (error_number == ENOTDIR) {
    return Error::failed_precondition("a part of '" + path + "' is not a folder of the volume");
  }
  if (error_number == ELOOP || error_number == EXDEV) {
    return Error::failed_precondition("'" + path + "' leads through links out of the volume");
  }
  return Error::from_errno(error_number, "cannot " + what + " '" + path + "' in the volume");
}

}  // namespace

Result<std::string> volume_path(std::string_view path) {
  std::string clean;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, slash - at);
    at = slash + 1;
    if (name.empty() || name == ".") {
      continue;
    }
    if (name == ".." || name.size() > longest_name || name.find('\0') != std::string_view::npos) {
      return Error::invalid_argument(
          "'" + std::string(path.substr(0, 200)) +
          "' cannot be a path in a volume: '..', NUL bytes and names over 255 bytes are not taken");
    }
    clean += clean.empty() ? "" : "/";
    clean += name;
  }
  if (clean.size() > longest_path) {
    return Error::invalid_argument("a path in a volume has at most 4000 bytes");
  }
  return clean;
}

Result<VolumeFolder> open_volume(const std::string& folder) {
  VolumeFolder volume;
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  volume.files = Fd(::open((folder + "/files").c_str(), flags));
  volume.staging = Fd(::open((folder + "/staging").c_str(), flags));
  if (!volume.files.valid() || !volume.staging.valid()) {
    return errno == ENOENT
               ? Error::not_found("the volume was deleted")
               : Error::from_errno(errno, "cannot open the volume").with("folder", folder);
  }
  return volume;
}

Result<Fd> open_in_volume(const Fd& files, const std::string& path, int flags) {
  Fd fd(os::open_resolved(files.get(), path.empty() ? "." : path.c_str(), flags, inside_only));
  if (!fd.valid()) {
    return cannot(errno, "open", path);
  }
  return fd;
}

Result<Place> place_in_volume(const Fd& files, const std::string& path, MissingParents missing) {
  if (path.empty()) {
    return Error::invalid_argument("the root of a volume cannot be replaced or removed");
  }
  Place place;
  const std::size_t last = path.rfind('/');
  const std::string parents = last == std::string::npos ? "" : path.substr(0, last);
  place.name = path.substr(last == std::string::npos ? 0 : last + 1);
  auto parent = open_in_volume(files, parents, O_PATH | O_DIRECTORY);
  if (parent || missing == MissingParents::fail || parent.error().code() != Code::not_found) {
    THAW_TRY(place.parent, std::move(parent));
    return place;
  }
  THAW_TRY(place.parent, open_in_volume(files, "", O_PATH | O_DIRECTORY));
  for (std::size_t end = 0; end != std::string::npos;) {
    const std::size_t begin = end == 0 ? 0 : end + 1;
    end = parents.find('/', begin);
    const std::string so_far = parents.substr(0, end);
    const std::string name = parents.substr(begin, end == std::string::npos ? end : end - begin);
    if (::mkdirat(place.parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return cannot(errno, "make the folder", so_far);
    }
    THAW_TRY(place.parent, open_in_volume(files, so_far, O_PATH | O_DIRECTORY));
  }
  return place;
}

Result<void> make_sub_folder(const Fd& files, const std::string& path) {
  constexpr std::uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  for (std::size_t end = 0; end != std::string::npos;) {
    const std::size_t begin = end == 0 ? 0 : end + 1;
    end = path.find('/', begin);
    const std::string so_far = path.substr(0, end);
    const std::string above = begin == 0 ? "." : path.substr(0, begin - 1);
    const std::string name = path.substr(begin, end == std::string::npos ? end : end - begin);
    const Fd parent(os::open_resolved(files.get(), above.c_str(), O_PATH | O_DIRECTORY, resolve));
    if (!parent.valid()) {
      return cannot(errno, "open", above);
    }
    if (::mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return cannot(errno, "make the folder", so_far);
    }
  }
  const Fd made(os::open_resolved(files.get(), path.c_str(), O_PATH | O_DIRECTORY, resolve));
  return made.valid() ? ok() : Result<void>(cannot(errno, "open", path));
}

}  // namespace thaw::worker
