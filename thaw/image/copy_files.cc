// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/copy_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "thaw/codec/sha256.h"
#include "thaw/image/context_paths.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

constexpr int max_depth = 200;

Result<void> write_all(int fd, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error::from_errno(errno, "write " + name + " into the image");
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return ok();
}

// Copies what `from` gives; the digest of it, if asked for.
Result<void> copy_bytes(int from, int to, const std::string& name, codec::Sha256* digest) {
  std::string piece(256u << 10, '\0');
  while (true) {
    const ssize_t n = ::read(from, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error::from_errno(errno, "read the source of " + name);
    }
    if (n == 0) {
      return ok();
    }
    const std::string_view got(piece.data(), static_cast<std::size_t>(n));
    if (digest != nullptr) {
      digest->update(got);
    }
    THAW_TRY_VOID(write_all(to, got, name));
  }
}

struct Attributes {
  RootTree::Owner owner;
  std::uint32_t mode = 0644;
};

// A new, empty file `name` in `folder`. What was there (a link too) is replaced, never written
// through.
Result<os::Fd> create_file(const os::Fd& folder, const std::string& name) {
  if (::unlinkat(folder.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return errno == EISDIR
               ? Error::failed_precondition("COPY cannot replace the folder " + name + " by a file")
               : Error::from_errno(errno, "replace " + name + " in the image");
  }
  os::Fd fd(::openat(folder.get(), name.c_str(),
                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return Error::from_errno(errno, "create " + name + " in the image");
  }
  return fd;
}

Result<void> set_attributes(const os::Fd& file, const Attributes& attributes,
                            const std::string& name) {
  if (::fchown(file.get(), attributes.owner.uid, attributes.owner.gid) != 0 ||
      ::fchmod(file.get(), attributes.mode & 07777) != 0) {
    return Error::from_errno(errno, "set owner and mode of " + name + " in the image");
  }
  return ok();
}

std::pair<std::string, std::string> split_path(const std::string& path) {
  const auto slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// Where a file goes: into the destination if that is (or must be) a folder, else to its place.
std::string file_target(const RootTree& target, const std::string& destination,
                        const std::string& name) {
  if (destination.ends_with("/")) {
    return destination + name;
  }
  return target.is_folder(destination) ? destination + "/" + name : destination;
}

// Remembers the last folder: the files of a context come sorted.
class Writer {
 public:
  Writer(const RootTree& target, const CopyStep& step, RootTree::Owner owner)
      : target_(target), step_(step), owner_(owner) {}

  Result<void> entry(const CopyEntry& entry, const std::string& path, const BlobPaths& blobs) {
    THAW_TRY_VOID(enter(split_path(path).first));
    const std::string name = split_path(path).second;
    THAW_TRY(const os::Fd file, create_file(folder_, name));
    if (entry.sha256_hex.empty()) {
      THAW_TRY_VOID(write_all(file.get(), entry.bytes, path));
    } else {
      const auto blob = blobs.find(entry.sha256_hex);
      if (blob == blobs.end()) {
        return Error::not_found("the content of " + path + " was not uploaded")
            .with("sha256", entry.sha256_hex);
      }
      THAW_TRY(const os::Fd source, os::open_file(blob->second, O_RDONLY));
      codec::Sha256 digest;
      THAW_TRY_VOID(copy_bytes(source.get(), file.get(), path, &digest));
      if (digest.hex() != entry.sha256_hex) {
        return Error(Code::data_loss,
                     "the stored content of " + path + " is damaged; upload it again")
            .with("sha256", entry.sha256_hex);
      }
    }
    return set_attributes(file, {owner_, step_.mode.value_or(entry.mode)}, path);
  }

  Result<void> enter(const std::string& folder) {
    if (folder != path_ || !folder_.valid()) {
      THAW_TRY(folder_, target_.make_folders(folder, owner_));
      path_ = folder;
    }
    return ok();
  }

  // The same; a folder that is new gets `mode`.
  Result<void> enter_like(const std::string& folder, std::uint32_t mode) {
    const bool is_new = !target_.is_folder(folder);
    THAW_TRY_VOID(enter(folder));
    const std::string itself = "/proc/self/fd/" + std::to_string(folder_.get());
    if (is_new && ::chmod(itself.c_str(), mode & 07777) != 0) {
      return Error::from_errno(errno, "set the mode of " + folder + " in the image");
    }
    return ok();
  }

  const os::Fd& folder() const { return folder_; }
  RootTree::Owner owner() const { return owner_; }
  const CopyStep& step() const { return step_; }

 private:
  const RootTree& target_;
  const CopyStep& step_;
  RootTree::Owner owner_;
  std::string path_;
  os::Fd folder_;
};

std::vector<std::string> names_in(const os::Fd& folder) {
  std::vector<std::string> names;
  const int fd = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = fd < 0 ? nullptr : ::fdopendir(fd);
  if (stream == nullptr) {
    return names;
  }
  while (const dirent* item = ::readdir(stream)) {
    const std::string_view name = item->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> copy_link(const os::Fd& from, const std::string& name, const os::Fd& to) {
  std::string link(4096, '\0');
  const ssize_t n = ::readlinkat(from.get(), name.c_str(), link.data(), link.size() - 1);
  if (n < 0) {
    return Error::from_errno(errno, "read the link " + name);
  }
  link.resize(static_cast<std::size_t>(n));
  if (::unlinkat(to.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return Error::from_errno(errno, "replace " + name + " in the image");
  }
  if (::symlinkat(link.c_str(), to.get(), name.c_str()) != 0) {
    return Error::from_errno(errno, "create the link " + name + " in the image");
  }
  return ok();
}

Result<void> copy_file(const os::Fd& source, const struct stat& status, const std::string& path,
                       Writer& writer) {
  const auto [folder, name] = split_path(path);
  THAW_TRY_VOID(writer.enter(folder));
  THAW_TRY(const os::Fd file, create_file(writer.folder(), name));
  THAW_TRY_VOID(copy_bytes(source.get(), file.get(), path, nullptr));
  THAW_TRY_VOID(
      set_attributes(file, {writer.owner(), writer.step().mode.value_or(status.st_mode)}, path));
  const timespec times[2] = {status.st_mtim, status.st_mtim};
  ::futimens(file.get(), times);
  return ok();
}

// What is in `from` to below `path`; links stay links, devices and sockets are left out.
Result<void> copy_folder(const os::Fd& from, const std::string& path, Writer& writer, int depth) {
  if (depth > max_depth) {
    return Error::failed_precondition("COPY: folders are nested more than 200 deep at " + path);
  }
  THAW_TRY_VOID(writer.enter(path));
  const std::string prefix = path == "/" ? "/" : path + "/";
  for (const std::string& name : names_in(from)) {
    struct stat status {};
    if (::fstatat(from.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno(errno, "look at " + name);
    }
    if (S_ISLNK(status.st_mode)) {
      THAW_TRY_VOID(writer.enter(path));
      THAW_TRY_VOID(copy_link(from, name, writer.folder()));
    } else if (S_ISDIR(status.st_mode)) {
      os::Fd child(
          ::openat(from.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child.valid()) {
        return Error::from_errno(errno, "open " + name);
      }
      THAW_TRY_VOID(writer.enter_like(prefix + name, status.st_mode));
      THAW_TRY_VOID(copy_folder(child, prefix + name, writer, depth + 1));
    } else if (S_ISREG(status.st_mode)) {
      os::Fd file(
          ::openat(from.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (!file.valid()) {
        return Error::from_errno(errno, "open " + name);
      }
      THAW_TRY_VOID(copy_file(file, status, prefix + name, writer));
    }
  }
  return ok();
}

// The paths in `source` that a pattern names, wildcards replaced component by component.
std::vector<std::string> expand_pattern(const RootTree& source, const std::string& pattern) {
  if (!has_wildcard(pattern)) {
    return {pattern};
  }
  std::vector<std::string> found = {""};
  std::size_t at = 0;
  while ((at = pattern.find_first_not_of('/', at)) != std::string::npos) {
    const auto end = std::min(pattern.find('/', at), pattern.size());
    const std::string part = pattern.substr(at, end - at);
    at = end;
    std::vector<std::string> next;
    for (const std::string& base : found) {
      if (!has_wildcard(part)) {
        next.push_back(base + "/" + part);
        continue;
      }
      const auto folder = source.open(base.empty() ? "/" : base, O_PATH | O_DIRECTORY);
      if (!folder) {
        continue;
      }
      for (const std::string& name : names_in(*folder)) {
        if (matches(part, name)) {
          next.push_back(base + "/" + name);
        }
      }
    }
    found = std::move(next);
  }
  std::erase_if(found, [&](const std::string& path) { return !source.open(path, O_PATH); });
  return found;
}

// The ids of a line "name:x:uid:gid:…" of /etc/passwd or /etc/group.
std::optional<std::pair<unsigned, unsigned>> find_line(const std::string& text,
                                                       const std::string& name) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name + ":")) {
      continue;
    }
    unsigned uid = 0;
    unsigned gid = 0;
    const auto password = line.find(':', name.size() + 1);
    if (password != std::string::npos &&
        ::sscanf(line.c_str() + password, ":%9u:%9u", &uid, &gid) >= 1) {
      return std::pair(uid, gid);
    }
  }
  return std::nullopt;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

Result<RootTree::Owner> find_owner(const RootTree& tree, const std::string& text) {
  RootTree::Owner owner;
  if (text.empty()) {
    return owner;
  }
  const auto colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : text.substr(colon + 1);
  constexpr std::size_t max_bytes = 1u << 20;
  if (is_number(user)) {
    owner.uid = static_cast<unsigned>(std::stoul(user));
    owner.gid = owner.uid;
  } else {
    const auto ids = find_line(tree.read_text("/etc/passwd", max_bytes).value_or(""), user);
    if (!ids) {
      return Error::failed_precondition("the image has no user \"" + user +
                                        "\"; RUN useradd before, or give a number");
    }
    owner = {ids->first, ids->second};
  }
  if (is_number(group)) {
    owner.gid = static_cast<unsigned>(std::stoul(group));
  } else if (!group.empty()) {
    const auto ids = find_line(tree.read_text("/etc/group", max_bytes).value_or(""), group);
    if (!ids) {
      return Error::failed_precondition("the image has no group \"" + group +
                                        "\"; RUN groupadd before, or give a number");
    }
    owner.gid = ids->first;
  }
  return owner;
}

Result<void> copy_items(const RootTree& target, const CopyStep& step, const BlobPaths& blobs) {
  THAW_TRY(const RootTree::Owner owner, find_owner(target, step.owner));
  Writer writer(target, step, owner);
  for (const CopyItem& item : step.items) {
    if (item.kind == CopyItem::Kind::file) {
      const std::string path = file_target(target, step.destination, item.name);
      THAW_TRY_VOID(writer.entry(item.entries.front(), path, blobs));
      continue;
    }
    const std::string folder = normal_path(step.destination);
    THAW_TRY_VOID(writer.enter(folder));
    for (const CopyEntry& entry : item.entries) {
      THAW_TRY_VOID(writer.entry(entry, normal_path(folder + "/" + entry.path), blobs));
    }
  }
  return ok();
}

Result<void> copy_from_tree(const RootTree& target, const CopyStep& step, const RootTree& source) {
  THAW_TRY(const RootTree::Owner owner, find_owner(target, step.owner));
  Writer writer(target, step, owner);
  for (const std::string& pattern : step.patterns) {
    const auto paths = expand_pattern(source, pattern);
    if (paths.empty()) {
      return Error::failed_precondition("COPY --from: nothing matches " + pattern);
    }
    const bool several = paths.size() > 1 || step.patterns.size() > 1;
    for (const std::string& path : paths) {
      auto opened = source.open(path, O_RDONLY | O_NONBLOCK);
      if (!opened) {
        return Error::failed_precondition("COPY --from: the image has no " + path);
      }
      struct stat status {};
      if (::fstat(opened->get(), &status) != 0) {
        return Error::from_errno(errno, "look at " + path);
      }
      if (S_ISDIR(status.st_mode)) {
        THAW_TRY_VOID(copy_folder(*opened, normal_path(step.destination), writer, 0));
      } else if (S_ISREG(status.st_mode)) {
        const std::string into =
            several && !step.destination.ends_with("/") ? step.destination + "/" : step.destination;
        THAW_TRY_VOID(
            copy_file(*opened, status, file_target(target, into, split_path(path).second), writer));
      } else {
        return Error::failed_precondition("COPY --from: " + path + " is no file and no folder");
      }
    }
  }
  return ok();
}

}  // namespace thaw::image
