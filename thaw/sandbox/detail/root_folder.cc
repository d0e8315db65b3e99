// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/root_folder.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <utility>
#include <vector>

#include "thaw/os/files.h"
#include "thaw/os/mount.h"
#include "thaw/sandbox/detail/own_ids.h"
#include "thaw/sandbox/detail/owned_folders.h"
#include "thaw/sandbox/detail/resolver.h"
#include "thaw/sandbox/detail/served_folder.h"

namespace thaw::sandbox::detail {

using os::Fd;

namespace {

// Opens `path` as O_PATH (or with `flags`) inside the root `root`, following links inside only.
Result<Fd> open_inside(int root, const std::string& path, int flags) {
  Fd fd(os::open_resolved(root, path.c_str(), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) {
    return Error::from_errno(errno, "open " + path + " in the sandbox");
  }
  return fd;
}

std::string hosts_text(const SandboxSpec& spec, const std::string& address) {
  std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  // Who shares the host's network shares its names.
  const auto own = os::read_text("/etc/hosts");
  if (spec.network == SandboxSpec::Network::host && own) {
    text = *own + "\n";
  }
  if (!spec.hostname.empty()) {
    text += (address.empty() ? "127.0.1.1" : address) + " " + spec.hostname + "\n";
  }
  return text;
}

// The attributes of a merged folder are those of its topmost layer, so a folder that we put on
// top takes them from the image. `parent` and `own` name that folder.
void copy_attributes(const SandboxSpec& spec, const std::string& name, int parent, const char* own,
                     IdRange shown_as = {}) {
  for (auto layer = spec.layers.rbegin(); layer != spec.layers.rend(); ++layer) {
    struct stat status;
    if (::lstat((*layer + name).c_str(), &status) == 0) {
      const bool is_shown =
          !shown_as.valid() || (status.st_uid < ids_in_range && status.st_gid < ids_in_range);
      if (S_ISDIR(status.st_mode) && is_shown &&
          ::fchownat(parent, own, shown_as.first + status.st_uid, shown_as.first + status.st_gid,
                     0) == 0) {
        ::fchmodat(parent, own, status.st_mode & 07777, 0);
      }
      return;
    }
  }
}

}  // namespace

Result<RootFolders> make_root_folders(const std::string& folder, const SandboxSpec& spec,
                                      const std::string& address) {
  RootFolders folders;
  folders.folder = folder;
  const std::string own = spec.upper.empty() ? folder : spec.upper;
  folders.upper = own + "/upper";
  folders.work = own + "/work";
  folders.address = address;
  if (::mkdir(folder.c_str(), 0700) != 0) {
    return Error::from_errno(errno, "make the sandbox's folder " + folder);
  }
  if (!spec.upper.empty()) {
    THAW_TRY_VOID(os::make_folders(spec.upper, 0700));
  }
  for (const std::string& path : {folders.upper, folders.work}) {
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      return Error::from_errno(errno, "make folder " + path);
    }
  }
  follow_image(folders, spec);
  return folders;
}

void follow_image(const RootFolders& folders, const SandboxSpec& spec) {
  copy_attributes(spec, "/", AT_FDCWD, folders.upper.c_str());
}

namespace {

constexpr int path_flags = O_PATH | O_NOFOLLOW;

Result<void> create_at(const Fd& folder, const char* name, const std::string& text) {
  const Fd file(::openat(folder.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid() ||
      ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Error::from_errno(errno, std::string("write file ") + name);
  }
  return ok();
}

Result<void> make_at(const Fd& folder, const char* name, unsigned mode) {
  if (::mkdirat(folder.get(), name, mode) != 0 || ::fchmodat(folder.get(), name, mode, 0) != 0) {
    return Error::from_errno(errno, std::string("make folder ") + name);
  }
  return ok();
}

enum class InImage { nothing, folder, other };

// What the layers make of a path together, if they agree.
InImage look_up(const SandboxSpec& spec, const std::string& path) {
  InImage found = InImage::nothing;
  for (const std::string& layer : spec.layers) {
    struct stat status;
    if (::lstat((layer + path).c_str(), &status) == 0) {
      if (!S_ISDIR(status.st_mode)) {
        return InImage::other;
      }
      found = InImage::folder;
    }
  }
  return found;
}

// A mount point that the image lacks is made in the skeleton, where it costs no disk. Where the
// image has a link or a file on the way it is left to open_or_make(), which asks the overlay.
void make_mount_point(const Fd& top, const SandboxSpec& spec, const BindMount& mount,
                      IdRange range) {
  struct stat source;
  const bool is_folder = !mount.inside.empty() ||
                         (::stat(mount.source.c_str(), &source) == 0 && S_ISDIR(source.st_mode));
  std::vector<std::pair<std::string, InImage>> way;
  for (std::size_t end = 0; end != std::string::npos;) {
    end = mount.target.find('/', end + 1);
    way.emplace_back(mount.target.substr(0, end), look_up(spec, mount.target.substr(0, end)));
    if (way.back().second == InImage::other || way.back().first.ends_with('/') ||
        way.back().first.ends_with("/..") || way.back().first.ends_with("/.")) {
      return;
    }
  }
  if (way.back().second == InImage::folder) {
    return;  // it is there, or a file is to go where a folder is, which is refused later
  }
  for (const auto& [path, in_image] : way) {
    const std::string own = "skeleton" + path;
    if (path == mount.target && !is_folder) {
      ::mknodat(top.get(), own.c_str(), S_IFREG | 0644, 0);
    } else if (::mkdirat(top.get(), own.c_str(), 0755) == 0 && in_image == InImage::folder) {
      copy_attributes(spec, path, top.get(), own.c_str(), range);
    }
  }
}

// A layer above the image's own with the mount points that every root needs and the files of /etc
// that differ between sandboxes. In memory, gone with the mount namespace: neither the image's
// layers nor a build's upper get to hold them. Returns its parent, which also has "root", where the
// overlay is put before it becomes "/".
Result<Fd> make_skeleton(const RootFolders& folders, const SandboxSpec& spec, IdRange range) {
  THAW_TRY(const Fd memory, os::make_mount("tmpfs", {{"mode", "755"}, {"size", "1m"}}, 0));
  {
    THAW_TRY(const Fd point, os::open_file(folders.folder, O_PATH | O_DIRECTORY));
    THAW_TRY_VOID(os::attach_mount(memory, point));
  }
  THAW_TRY(Fd top, os::open_file(folders.folder, O_RDONLY | O_DIRECTORY));
  for (const char* name :
       {"root", "skeleton", "skeleton/proc", "skeleton/dev", "skeleton/sys", "skeleton/etc"}) {
    THAW_TRY_VOID(make_at(top, name, 0755));
  }
  THAW_TRY_VOID(make_at(top, "skeleton/tmp", 01777));
  copy_attributes(spec, "/etc", top.get(), "skeleton/etc", range);
  copy_attributes(spec, "/", top.get(), "skeleton", range);
  const Fd etc(::openat(top.get(), "skeleton/etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string hostname = spec.hostname.empty() ? "sandbox" : spec.hostname;
  THAW_TRY_VOID(create_at(etc, "resolv.conf", resolver_text(spec.network)));
  THAW_TRY_VOID(create_at(etc, "hosts", hosts_text(spec, folders.address)));
  THAW_TRY_VOID(create_at(etc, "hostname", hostname + "\n"));
  if (spec.upper.empty()) {
    for (const BindMount& mount : spec.binds) {
      make_mount_point(top, spec, mount, range);
    }
  }
  return top;
}

// Attaches the overlay at "root" of the skeleton's parent.
Result<Fd> make_root_overlay(const RootFolders& folders, const SandboxSpec& spec, RootOwner owner) {
  os::OverlayOptions options;
  OwnedFolders opened(owner);
  for (const std::string& layer : spec.layers) {
    THAW_TRY(Fd fd, opened.open(layer));
    options.layers.push_back(std::move(fd));
  }
  // Before the skeleton hides them; by one mount, as the kernel wants the two to be.
  THAW_TRY(options.upper, opened.open(folders.upper));
  THAW_TRY(options.work, opened.open(folders.work));
  THAW_TRY(const Fd top, make_skeleton(folders, spec, owner.range));
  THAW_TRY_VOID(opened.attach(top));
  options.layers.emplace_back(::openat(top.get(), "skeleton", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd point(::openat(top.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!options.layers.back().valid() || !point.valid()) {
    return Error::from_errno(errno, "open the skeleton of a root");
  }
  options.is_volatile = spec.upper.empty();
  options.staging = folders.folder + "/root";
  options.attributes = MOUNT_ATTR_NODEV;
  THAW_TRY(Fd overlay, os::make_overlay(options));
  THAW_TRY_VOID(os::attach_mount(overlay, point));
  return overlay;
}

// Attaches at a path that exists inside.
Result<void> attach_inside(const Fd& root, const Fd& mount, const std::string& path) {
  THAW_TRY(const Fd target, open_inside(root.get(), path, path_flags));
  auto attached = os::attach_mount(mount, target);
  if (!attached) {
    return std::move(attached).error().with("target", path);
  }
  return ok();
}

// Of what is in /proc, these are the host's own and not the sandbox's.
constexpr const char* read_only_in_proc[] = {
    "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/mtrr"};
constexpr const char* hidden_files[] = {
    "/proc/kcore",        "/proc/keys",        "/proc/kallsyms",      "/proc/timer_list",
    "/proc/sched_debug",  "/proc/kmsg",        "/proc/latency_stats", "/proc/kpagecount",
    "/proc/kpageflags",   "/proc/kpagecgroup", "/proc/slabinfo",      "/proc/vmallocinfo",
    "/proc/pagetypeinfo", "/proc/interrupts",  "/proc/softirqs",      "/proc/config.gz",
    "/proc/cmdline",      "/proc/modules",     "/proc/key-users",     "/proc/iomem",
    "/proc/ioports"};
constexpr const char* hidden_folders[] = {"/proc/acpi",    "/proc/scsi",  "/proc/pressure",
                                          "/sys/firmware", "/sys/kernel", "/sys/module",
                                          "/sys/fs"};

constexpr std::uint64_t inert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

Result<void> mount_proc(const Fd& root) {
  THAW_TRY(const Fd proc, os::make_mount("proc", {}, inert));
  THAW_TRY_VOID(attach_inside(root, proc, "/proc"));
  for (const char* path : read_only_in_proc) {
    auto target = open_inside(root.get(), path, path_flags);
    if (!target) {
      continue;  // this kernel has no such file
    }
    THAW_TRY(const Fd copy, os::copy_mount(target->get(), ""));
    THAW_TRY_VOID(os::set_mount_attributes(copy, MOUNT_ATTR_RDONLY | inert));
    THAW_TRY_VOID(os::attach_mount(copy, *target));
  }
  return ok();
}

Result<void> mount_sys(const Fd& root) {
  THAW_TRY(const Fd sys, os::make_mount("sysfs", {}, inert | MOUNT_ATTR_RDONLY));
  return attach_inside(root, sys, "/sys");
}

Result<void> hide(const Fd& root) {
  for (const char* path : hidden_files) {
    auto target = open_inside(root.get(), path, path_flags);
    if (!target) {
      continue;
    }
    THAW_TRY(const Fd null, open_inside(root.get(), "/dev/null", path_flags));
    THAW_TRY(const Fd copy, os::copy_mount(null.get(), ""));
    THAW_TRY_VOID(os::attach_mount(copy, *target));
  }
  for (const char* path : hidden_folders) {
    auto target = open_inside(root.get(), path, path_flags);
    if (!target) {
      continue;
    }
    THAW_TRY(const Fd empty, os::make_mount("tmpfs", {{"size", "0"}, {"nr_inodes", "1"}},
                                            inert | MOUNT_ATTR_RDONLY));
    THAW_TRY_VOID(os::attach_mount(empty, *target));
  }
  return ok();
}

constexpr std::uint32_t terminal_group = 5;

struct Node {
  const char* name;
  unsigned major, minor;
};
constexpr Node nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                          {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
constexpr std::pair<const char*, const char*> links[] = {{"fd", "/proc/self/fd"},
                                                         {"stdin", "/proc/self/fd/0"},
                                                         {"stdout", "/proc/self/fd/1"},
                                                         {"stderr", "/proc/self/fd/2"},
                                                         {"ptmx", "pts/ptmx"}};

Result<void> mount_dev(const Fd& root, const SandboxSpec& spec, IdRange range) {
  THAW_TRY(const Fd dev, os::make_mount("tmpfs", {{"mode", "755"}, {"size", "1m"}},
                                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  for (const Node& node : nodes) {
    if (::mknodat(dev.get(), node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) != 0 ||
        ::fchmodat(dev.get(), node.name, 0666, 0) != 0) {
      return Error::from_errno(errno, std::string("make device ") + node.name);
    }
  }
  for (const auto& [name, target] : links) {
    if (::symlinkat(target, dev.get(), name) != 0) {
      return Error::from_errno(errno, std::string("make link ") + name);
    }
  }
  for (const char* folder : {"pts", "shm", "mqueue"}) {
    if (::mkdirat(dev.get(), folder, 0755) != 0) {
      return Error::from_errno(errno, std::string("make folder ") + folder);
    }
  }
  THAW_TRY_VOID(attach_inside(root, dev, "/dev"));
  THAW_TRY(const Fd pts, os::make_mount("devpts",
                                        {{"newinstance", ""},
                                         {"ptmxmode", "0666"},
                                         {"mode", "0620"},
                                         {"gid", std::to_string(range.first + terminal_group)}},
                                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  THAW_TRY_VOID(attach_inside(root, pts, "/dev/pts"));
  os::MountOptions shm_options = {{"mode", "1777"}};
  if (spec.limits.memory_bytes != 0) {
    shm_options.emplace_back("size", std::to_string(spec.limits.memory_bytes));
  }
  THAW_TRY(const Fd shm, os::make_mount("tmpfs", shm_options, inert));
  THAW_TRY_VOID(attach_inside(root, shm, "/dev/shm"));
  THAW_TRY(const Fd mqueue, os::make_mount("mqueue", {}, inert));
  return attach_inside(root, mqueue, "/dev/mqueue");
}

// Opens `path` inside, making what is missing on the way; what was made is added to `made`.
Result<Fd> open_or_make(const Fd& root, const std::string& path, bool is_folder,
                        std::string& made) {
  for (std::size_t slash = path.find_first_not_of('/'); slash != std::string::npos;) {
    const std::size_t end = path.find('/', slash);
    const std::string so_far = path.substr(0, end);
    const bool last = path.find_first_not_of('/', end) == std::string::npos;
    if (!open_inside(root.get(), so_far, O_PATH)) {
      THAW_TRY(const Fd parent,
               open_inside(root.get(), path.substr(0, slash), O_PATH | O_DIRECTORY));
      const std::string name = path.substr(slash, end - slash);
      const int failed = last && !is_folder
                             ? ::mknodat(parent.get(), name.c_str(), S_IFREG | 0644, 0)
                             : ::mkdirat(parent.get(), name.c_str(), 0755);
      if (failed != 0) {
        return Error::from_errno(errno, "make mount point " + so_far + " in the sandbox");
      }
      made += so_far + "\n";
    }
    slash = last ? std::string::npos : path.find_first_not_of('/', end);
  }
  return open_inside(root.get(), path, O_PATH);
}

Result<Fd> open_source(const BindMount& bind) {
  THAW_TRY(Fd source, os::open_file(bind.source, path_flags));
  if (bind.inside.empty()) {
    return source;
  }
  Fd inside(os::open_resolved(source.get(), bind.inside.c_str(), O_PATH | O_DIRECTORY,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  if (!inside.valid()) {
    return Error::from_errno(errno, "open " + bind.inside + " of a bind source");
  }
  return inside;
}

// The ids on disk are those that are seen inside, so that two sandboxes with ranges of their own
// see the same in a folder that both have.
Result<void> show_ids_of(const Fd& mount, const BindMount& bind, RootOwner owner) {
  const bool read_only = bind.access == BindMount::Access::read_only;
  const std::uint64_t attributes =
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0);
  if (!owner.range.valid()) {
    return os::set_mount_attributes(mount, attributes);
  }
  auto mapped = os::map_ids(mount, *owner.user_namespace, attributes);
  // What is only read by everybody can do without owners.
  if (!mapped && read_only && mapped.error().code() == Code::failed_precondition) {
    return os::set_mount_attributes(mount, attributes);
  }
  return mapped;
}

Result<void> bind(const Fd& root, const BindMount& bind, RootOwner owner, std::string& made) {
  THAW_TRY(const Fd source, open_source(bind));
  struct stat status;
  if (::fstat(source.get(), &status) != 0 || S_ISLNK(status.st_mode)) {
    return Error::invalid_argument("the bind source " + bind.source +
                                   " is a symbolic link; give what it points to");
  }
  THAW_TRY(const Fd mount, os::copy_mount(source.get(), ""));
  if (auto shown = show_ids_of(mount, bind, owner); !shown) {
    return std::move(shown).error().with("source", bind.source);
  }
  THAW_TRY(const Fd target, open_or_make(root, bind.target, S_ISDIR(status.st_mode), made));
  auto attached = os::attach_mount(mount, target);
  if (!attached) {
    return std::move(attached).error().with("source", bind.source).with("target", bind.target);
  }
  return ok();
}

Result<void> pivot(const Fd& root) {
  if (::fchdir(root.get()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) {
    return Error::from_errno(errno, "enter the sandbox's root");
  }
  return ok();
}

}  // namespace

Result<void> enter_root(const RootFolders& folders, const SandboxSpec& spec, RootOwner owner,
                        const Fd& report) {
  // Everything that is made from here on is the sandbox's root's, and the overlay remembers who
  // mounted it for all that it writes.
  const MakingFilesAs making(owner.range);
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Error::from_errno(errno, "make mounts private");
  }
  // While the private folder can still be seen under its name.
  THAW_TRY(const Fd own_folder, os::open_file(folders.folder, O_PATH | O_DIRECTORY));
  THAW_TRY(const Fd overlay, make_root_overlay(folders, spec, owner));
  // The descriptor of the mount itself is its root folder.
  THAW_TRY_VOID(mount_proc(overlay));
  THAW_TRY_VOID(mount_dev(overlay, spec, owner.range));
  THAW_TRY_VOID(mount_sys(overlay));
  THAW_TRY_VOID(hide(overlay));
  std::string made;
  for (const BindMount& mount : spec.binds) {
    auto bound = bind(overlay, mount, owner, made);
    if (!bound) {
      return std::move(bound).error().with("bind", mount.target);
    }
  }
  for (const ServedFolder& folder : spec.served) {
    THAW_TRY(const Fd target, open_or_make(overlay, folder.target, true, made));
    if (auto served = serve_folder(folder, target, owner, report); !served) {
      return std::move(served).error().with("folder", folder.target);
    }
  }
  if (!spec.upper.empty() && !made.empty()) {
    THAW_TRY_VOID(create_at(own_folder, "made", made));
  }
  return pivot(overlay);
}

Result<void> tidy_upper(const RootFolders& folders) {
  const auto made = os::read_text(folders.folder + "/made");
  const auto root = os::open_file(folders.upper, O_PATH | O_DIRECTORY);
  if (!made || !root) {
    return os::remove_tree(folders.work);
  }
  std::vector<std::string> paths;
  std::istringstream lines(*made);
  for (std::string line; std::getline(lines, line);) {
    paths.push_back(line);
  }
  // Deepest first. A mount point that has been written to since is no longer ours.
  for (auto path = paths.rbegin(); path != paths.rend(); ++path) {
    const std::size_t slash = path->rfind('/');
    const auto parent = open_inside(root->get(), path->substr(0, slash + 1), O_PATH | O_DIRECTORY);
    const std::string name = path->substr(slash + 1);
    struct stat status;
    if (!parent || ::fstatat(parent->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (S_ISDIR(status.st_mode)) {
      ::unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR);  // fails if it is not empty
    } else if (S_ISREG(status.st_mode) && status.st_size == 0) {
      ::unlinkat(parent->get(), name.c_str(), 0);
    }
  }
  return os::remove_tree(folders.work);
}

}  // namespace thaw::sandbox::detail
