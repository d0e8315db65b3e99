// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

namespace thaw::os {

namespace {

// The kernel explains a refused option in the context's own log.
Error context_error(int error_number, const Fd& context, const std::string& what) {
  char text[512];
  const ssize_t n = ::read(context.get(), text, sizeof text - 1);
  Error error = Error::from_errno(error_number, what);
  if (n > 2) {
    std::string reason(text + 2, static_cast<std::size_t>(n - 2));
    while (!reason.empty() && reason.back() == '\n') {
      reason.pop_back();
    }
    error.with("kernel", reason);
  }
  return error;
}

Result<Fd> open_context(const std::string& type) {
  Fd context(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context.valid()) {
    return Error::from_errno(errno, "make a file system of type " + type);
  }
  return context;
}

Result<void> configure(const Fd& context, const std::string& key, const std::string& value) {
  const int failed =
      value.empty() ? ::fsconfig(context.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0)
                    : ::fsconfig(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0);
  if (failed != 0) {
    return context_error(errno, context, "set mount option " + key + "=" + value);
  }
  return ok();
}

Result<Fd> finish(const Fd& context, const std::string& type, std::uint64_t attributes) {
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return context_error(errno, context, "create a file system of type " + type);
  }
  Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount.valid()) {
    return context_error(errno, context, "mount a file system of type " + type);
  }
  return mount;
}

std::string by_descriptor(const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

}  // namespace

Result<Fd> make_mount(std::string_view type, const MountOptions& options,
                      std::uint64_t attributes) {
  const std::string name(type);
  THAW_TRY(const Fd context, open_context(name));
  for (const auto& [key, value] : options) {
    THAW_TRY_VOID(configure(context, key, value));
  }
  return finish(context, name, attributes);
}

namespace {

// One option string of at most a page; descriptors keep it short. Used where the kernel does not
// know "lowerdir+" (before 6.5): it takes any option then, and refuses all of them in the end.
Result<Fd> make_overlay_by_path(const OverlayOptions& options) {
  std::string list;
  for (auto layer = options.layers.rbegin(); layer != options.layers.rend(); ++layer) {
    list += (list.empty() ? "lowerdir=" : ":") + by_descriptor(*layer);
  }
  if (options.upper.valid()) {
    list += ",upperdir=" + by_descriptor(options.upper) + ",workdir=" + by_descriptor(options.work);
  }
  if (options.is_volatile) {
    list += ",volatile";
  }
  if (::mount("thaw", options.staging.c_str(), "overlay", 0, list.c_str()) != 0) {
    return Error::from_errno(errno, "mount an overlay");
  }
  auto mount = copy_mount(AT_FDCWD, options.staging);
  ::umount2(options.staging.c_str(), MNT_DETACH);
  if (mount) {
    THAW_TRY_VOID(set_mount_attributes(*mount, options.attributes));
  }
  return mount;
}

Result<Fd> make_overlay_by_layers(const OverlayOptions& options) {
  THAW_TRY(const Fd context, open_context("overlay"));
  THAW_TRY_VOID(configure(context, "source", "thaw"));
  for (auto layer = options.layers.rbegin(); layer != options.layers.rend(); ++layer) {
    const std::string path = by_descriptor(*layer);
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "lowerdir+", path.c_str(), 0) != 0) {
      return context_error(errno, context, "add an overlay layer");
    }
  }
  if (options.upper.valid()) {
    THAW_TRY_VOID(configure(context, "upperdir", by_descriptor(options.upper)));
    THAW_TRY_VOID(configure(context, "workdir", by_descriptor(options.work)));
  }
  if (options.is_volatile) {
    THAW_TRY_VOID(configure(context, "volatile", ""));
  }
  return finish(context, "overlay", options.attributes);
}

}  // namespace

namespace {

// An overlay whose work folder this process's user cannot use is mounted all the same, read-only,
// and only the kernel's log says so.
Result<Fd> is_as_asked(const OverlayOptions& options, Fd mount) {
  struct statvfs status {};
  if (::fstatvfs(mount.get(), &status) != 0) {
    return Error::from_errno(errno, "look at an overlay");
  }
  if (options.upper.valid() && (status.f_flag & ST_RDONLY) != 0) {
    return Error::failed_precondition(
        "the kernel made an overlay read-only, because its upper cannot be written by who mounts "
        "it");
  }
  return mount;
}

}  // namespace

Result<Fd> make_overlay(const OverlayOptions& options) {
  auto mount = make_overlay_by_layers(options);
  if (!mount && !options.staging.empty()) {
    if (auto by_path = make_overlay_by_path(options)) {
      mount = std::move(by_path);
    }
  }
  if (!mount) {
    return mount;
  }
  return is_as_asked(options, std::move(*mount));
}

Result<Fd> copy_mount(int folder, const std::string& path) {
  Fd mount(::open_tree(folder, path.c_str(),
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW |
                           (path.empty() ? AT_EMPTY_PATH : 0)));
  if (!mount.valid()) {
    return Error::from_errno(errno, "copy the mount at " + path);
  }
  return mount;
}

Result<void> set_mount_attributes(const Fd& mount, std::uint64_t attributes) {
  mount_attr change{};
  change.attr_set = attributes;
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &change, sizeof change) != 0) {
    return Error::from_errno(errno, "change mount attributes");
  }
  return ok();
}

Result<void> map_ids(const Fd& mount, const Fd& user_namespace, std::uint64_t attributes) {
  mount_attr change{};
  change.attr_set = attributes | MOUNT_ATTR_IDMAP;
  change.userns_fd = static_cast<std::uint64_t>(user_namespace.get());
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &change, sizeof change) == 0) {
    return ok();
  }
  if (errno == EINVAL || errno == EOPNOTSUPP) {
    return Error::failed_precondition(
        "its file system cannot show the ids of files as another user namespace's (idmapped "
        "mounts)");
  }
  return Error::from_errno(errno, "map the ids of a mount");
}

Result<void> attach_mount(const Fd& mount, const Fd& target) {
  if (::move_mount(mount.get(), "", target.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return Error::from_errno(errno, "attach a mount");
  }
  return ok();
}

}  // namespace thaw::os
