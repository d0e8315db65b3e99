// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/root_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <optional>
#include <utility>

#include "thaw/os/files.h"
#include "thaw/os/mount.h"

namespace thaw::image {
namespace {

Result<std::vector<os::Fd>> open_layers(const std::vector<std::string>& layers) {
  std::vector<os::Fd> out;
  for (const std::string& layer : layers) {
    THAW_TRY(os::Fd fd, os::open_file(layer, O_PATH | O_DIRECTORY));
    out.push_back(std::move(fd));
  }
  return out;
}

}  // namespace

Result<RootTree> RootTree::open_writable(const std::vector<std::string>& layers,
                                         const std::string& draft) {
  for (const char* name : {"/upper", "/work", "/staging"}) {
    THAW_TRY_VOID(os::make_folders(draft + name));
  }
  os::OverlayOptions options;
  THAW_TRY(options.layers, open_layers(layers));
  THAW_TRY(options.upper, os::open_file(draft + "/upper", O_PATH | O_DIRECTORY));
  THAW_TRY(options.work, os::open_file(draft + "/work", O_PATH | O_DIRECTORY));
  options.staging = draft + "/staging";
  THAW_TRY(os::Fd root, os::make_overlay(options));
  return RootTree(std::move(root));
}

Result<RootTree> RootTree::open_read_only(const std::vector<std::string>& layers,
                                          const std::string& draft) {
  for (const char* name : {"/empty", "/staging"}) {
    THAW_TRY_VOID(os::make_folders(draft + name));
  }
  os::OverlayOptions options;
  // overlayfs wants two layers where there is no upper.
  THAW_TRY(os::Fd empty, os::open_file(draft + "/empty", O_PATH | O_DIRECTORY));
  options.layers.push_back(std::move(empty));
  THAW_TRY(auto others, open_layers(layers));
  for (os::Fd& fd : others) {
    options.layers.push_back(std::move(fd));
  }
  options.staging = draft + "/staging";
  THAW_TRY(os::Fd root, os::make_overlay(options));
  return RootTree(std::move(root));
}

Result<RootTree> RootTree::open_folder(const std::string& folder) {
  THAW_TRY(os::Fd root, os::open_file(folder, O_PATH | O_DIRECTORY));
  return RootTree(std::move(root));
}

Result<os::Fd> RootTree::open(const std::string& path, int flags) const {
  os::Fd fd(
      os::open_resolved(root_.get(), path.c_str(), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) {
    return Error::from_errno(errno, "open " + path + " in the image");
  }
  return fd;
}

bool RootTree::is_folder(const std::string& path) const {
  return open(path, O_PATH | O_DIRECTORY).has_value();
}

namespace {

// As many as the kernel follows.
constexpr int most_links = 40;

std::optional<std::string> link_target(const os::Fd& folder, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t n = ::readlinkat(folder.get(), name.c_str(), target, sizeof target);
  return n > 0 ? std::optional(std::string(target, static_cast<std::size_t>(n))) : std::nullopt;
}

}  // namespace

Result<os::Fd> RootTree::make_folders(const std::string& path, Owner owner) const {
  int links = most_links;
  return make_folders(path, owner, links);
}

Result<os::Fd> RootTree::make_folders(const std::string& path, Owner owner, int& links) const {
  if (auto there = open(path, O_PATH | O_DIRECTORY)) {
    return there;
  }
  std::string so_far;
  THAW_TRY(os::Fd parent, open("/", O_PATH | O_DIRECTORY));
  std::size_t at = 0;
  while ((at = path.find_first_not_of('/', at)) != std::string::npos) {
    const auto end = std::min(path.find('/', at), path.size());
    const std::string name = path.substr(at, end - at);
    const std::string before = so_far;
    so_far += "/" + name;
    at = end;
    auto folder = open(so_far, O_PATH | O_DIRECTORY);
    if (!folder) {
      // A link may lead to what only a layer below has.
      if (const auto target = link_target(parent, name)) {
        const std::string leads_to = target->front() == '/' ? *target : before + "/" + *target;
        if (links-- == 0 || leads_to.size() >= PATH_MAX) {
          return Error::from_errno(ELOOP, "make folder " + so_far + " in the image");
        }
        THAW_TRY(os::Fd made, make_folders(leads_to, owner, links));
        parent = std::move(made);
        continue;
      }
      if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) {
        const int error = errno == EEXIST ? ENOTDIR : errno;
        return Error::from_errno(error, "make folder " + so_far + " in the image");
      }
      // The file creation mask of the server must not reach into images.
      if (::fchmodat(parent.get(), name.c_str(), 0755, 0) != 0 ||
          ::fchownat(parent.get(), name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
        return Error::from_errno(errno, "set the owner of " + so_far + " in the image");
      }
      folder = open(so_far, O_PATH | O_DIRECTORY);
      if (!folder) {
        return folder.error();
      }
    }
    parent = std::move(*folder);
  }
  return parent;
}

Result<std::string> RootTree::read_text(const std::string& path, std::size_t max_bytes) const {
  // O_NONBLOCK: a FIFO in the place of a file must not hold a thread.
  THAW_TRY(const os::Fd fd, open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error::failed_precondition(path + " in the image is not a regular file");
  }
  std::string text;
  char piece[8192];
  while (text.size() < max_bytes) {
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n <= 0) {
      break;
    }
    text.append(piece, static_cast<std::size_t>(n));
  }
  return text;
}

namespace {

// The path of an open file, from the root of its mount.
Result<std::string> path_of(const os::Fd& fd) {
  char target[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd.get());
  const ssize_t n = ::readlink(link.c_str(), target, sizeof target);
  if (n < 0) {
    return Error::from_errno(errno, "read " + link);
  }
  return std::string(target, static_cast<std::size_t>(n));
}

}  // namespace

Result<std::string> RootTree::real_path(const std::string& path) const {
  THAW_TRY(const os::Fd fd, open(path, O_PATH));
  THAW_TRY(const std::string real, path_of(fd));
  THAW_TRY(const std::string root, path_of(root_));  // "/", but for a tree without a mount
  return root == "/" ? real : real.substr(std::min(root.size(), real.size()));
}

}  // namespace thaw::image
