// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/layer_unpacker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "thaw/image/disk_room.h"
#include "thaw/image/layer_stream.h"
#include "thaw/image/root_tree.h"
#include "thaw/os/files.h"

namespace thaw::image {

namespace {

// Of the kernel, and one of ours that no image comes near to.
constexpr std::size_t longest_path = 4'095;
constexpr std::size_t longest_name = 255;
constexpr std::size_t deepest = 256;
constexpr std::size_t most_xattrs = 64;
constexpr std::size_t longest_xattr = 64u << 10;

// Folders that layers leave out, and that all images have so.
struct KnownFolder {
  std::string_view path;
  mode_t mode;
};
constexpr std::array<KnownFolder, 3> known_folders = {
    {{"/tmp", 01777}, {"/var/tmp", 01777}, {"/root", 0700}}};

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_mark = ".wh..wh..opq";
constexpr const char* opaque_xattr = "trusted.overlay.opaque";

Error refuse(const std::string& path, const std::string& why) {
  return Error::failed_precondition("the entry " + path.substr(0, 200) + " " + why);
}

// Where an entry goes, seen from the folder: "" is the folder itself, else "/a/b".
Result<std::string> place_of(const char* written, const char* what) {
  const std::string_view text = written == nullptr ? "" : written;
  const std::string shown(text.substr(0, 200));
  if (text.size() > longest_path) {
    return refuse(shown, std::string("has a ") + what + " of " + std::to_string(text.size()) +
                             " bytes; the longest that there is has 4095");
  }
  std::string out;
  std::size_t depth = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find('/', at), text.size());
    const std::string_view name = text.substr(at, end - at);
    at = end + 1;
    if (name.empty() || name == ".") {
      continue;
    }
    if (name == "..") {
      return refuse(shown, std::string("has a ") + what + " that leads out of the image by ..");
    }
    if (name.size() > longest_name || ++depth > deepest) {
      return refuse(shown, std::string("has a ") + what + " with a part of " +
                               std::to_string(name.size()) + " bytes, or of more than " +
                               std::to_string(deepest) + " parts");
    }
    out.append("/").append(name);
  }
  return out;
}

bool is_whiteout(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == ::makedev(0, 0);
}

class LayerUnpacker {
 public:
  LayerUnpacker(RootTree tree, const UnpackLimits& limits)
      : tree_(std::move(tree)), limits_(limits) {}

  Result<void> add(LayerStream& stream, archive_entry* entry) {
    THAW_TRY(const std::string path, place_of(::archive_entry_pathname(entry), "path"));
    const bool is_past_image = limits_.of_image && --limits_.of_image->entries < 0;
    if (++done_.entries > limits_.entries || is_past_image) {
      return Error::resource_exhausted("it has more than " + std::to_string(limits_.entries) +
                                       " files, folders and links");
    }
    if (path.empty()) {
      return add_root(entry);
    }
    const bool has_written_much = unlooked_ >= look_bytes || done_.entries % look_entries == 0;
    if (has_written_much && parent_.valid()) {
      unlooked_ = 0;
      THAW_TRY_VOID(check_room(parent_));
    }
    const auto slash = path.rfind('/');
    name_ = path.substr(slash + 1);
    THAW_TRY_VOID(enter(path.substr(0, slash)));
    if (name_ == opaque_mark) {
      return make_opaque(parent_, path);
    }
    if (name_.starts_with(whiteout_prefix)) {
      return hide(path);
    }
    if (const char* target = ::archive_entry_hardlink(entry)) {
      return add_hardlink(path, target);
    }
    switch (::archive_entry_filetype(entry)) {
      case AE_IFREG: return add_file(stream, entry, path);
      case AE_IFDIR: return add_folder(entry, path);
      case AE_IFLNK: return add_symlink(entry, path);
      case AE_IFIFO: return add_fifo(entry, path);
      default: ++done_.left_out; return ok();
    }
  }

  Unpacked& done() { return done_; }

 private:
  Result<void> add_root(archive_entry* entry) {
    if (::archive_entry_filetype(entry) != AE_IFDIR) {
      return refuse("/", "is the root, and no folder");
    }
    THAW_TRY(const os::Fd root, tree_.open("/", O_RDONLY | O_DIRECTORY));
    return set_attributes(root, entry, "/");
  }

  // Links on the way are followed inside of the folder only; what is missing is made.
  Result<void> enter(const std::string& folder) {
    if (parent_.valid() && folder == parent_path_) {
      return ok();
    }
    for (const KnownFolder& known : known_folders) {
      const bool is_on_the_way =
          folder.starts_with(known.path) &&
          (folder.size() == known.path.size() || folder[known.path.size()] == '/');
      if (is_on_the_way && !tree_.is_folder(std::string(known.path))) {
        THAW_TRY(const os::Fd made, tree_.make_folders(std::string(known.path), {}));
        const std::string itself = "/proc/self/fd/" + std::to_string(made.get());
        if (::chmod(itself.c_str(), known.mode) != 0) {
          return Error::from_errno(errno, "make " + std::string(known.path) + " in a layer");
        }
      }
    }
    THAW_TRY(const os::Fd found, tree_.make_folders(folder.empty() ? "/" : folder, {}));
    // For what O_PATH does not allow.
    parent_ = os::Fd(::openat(found.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent_.valid()) {
      return Error::from_errno(errno, "open " + folder + " in a layer");
    }
    parent_path_ = folder;
    return ok();
  }

  std::optional<struct stat> there() const {
    struct stat status {};
    const int failed = ::fstatat(parent_.get(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW);
    return failed == 0 ? std::optional(status) : std::nullopt;
  }

  // A later entry replaces an earlier one of its name, never writes into it.
  Result<void> clear(const std::string& path) {
    if (::unlinkat(parent_.get(), name_.c_str(), 0) == 0 || errno == ENOENT) {
      return ok();
    }
    if (errno != EISDIR) {
      return Error::from_errno(errno, "replace " + path + " in a layer");
    }
    const std::string by_descriptor = "/proc/self/fd/" + std::to_string(parent_.get());
    return os::remove_tree(by_descriptor + "/" + name_);
  }

  Result<void> make_opaque(const os::Fd& folder, const std::string& path) {
    if (::fsetxattr(folder.get(), opaque_xattr, "y", 1, 0) != 0) {
      return Error::from_errno(errno, "make " + path + " hide what is below");
    }
    return ok();
  }

  // What the layers below have of that name is gone; what this layer has stays.
  Result<void> hide(const std::string& path) {
    const std::string hidden = name_.substr(whiteout_prefix.size());
    if (hidden.starts_with(whiteout_prefix)) {
      return ok();  // of tools that kept their own accounts in layers
    }
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return refuse(path, "deletes something that has no name");
    }
    name_ = hidden;
    if (const auto status = there()) {
      if (!S_ISDIR(status->st_mode)) {
        return ok();
      }
      THAW_TRY(const os::Fd folder, open_folder(path));
      return make_opaque(folder, path);
    }
    if (::mknodat(parent_.get(), name_.c_str(), S_IFCHR, ::makedev(0, 0)) != 0) {
      return Error::from_errno(errno, "note that " + path + " is deleted");
    }
    return ok();
  }

  Result<os::Fd> open_folder(const std::string& path) const {
    os::Fd folder(
        ::openat(parent_.get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder.valid()) {
      return Error::from_errno(errno, "open " + path + " in a layer");
    }
    return folder;
  }

  Result<void> add_folder(archive_entry* entry, const std::string& path) {
    const auto before = there();
    const bool was_deleted = before && is_whiteout(*before);
    if (!before || !S_ISDIR(before->st_mode)) {
      THAW_TRY_VOID(clear(path));
      if (::mkdirat(parent_.get(), name_.c_str(), 0700) != 0) {
        return Error::from_errno(errno, "make " + path + " in a layer");
      }
    }
    THAW_TRY(const os::Fd folder, open_folder(path));
    if (was_deleted) {
      THAW_TRY_VOID(make_opaque(folder, path));
    }
    return set_attributes(folder, entry, path);
  }

  Result<void> add_file(LayerStream& stream, archive_entry* entry, const std::string& path) {
    THAW_TRY_VOID(clear(path));
    const la_int64_t size = ::archive_entry_size(entry);
    // Holes count: who reads the file later reads them too.
    if (size < 0 || static_cast<std::uint64_t>(size) > limits_.bytes - done_.bytes ||
        (limits_.of_image && (limits_.of_image->bytes -= size) < 0)) {
      return Error::resource_exhausted("its files, or those of the image, have more than " +
                                       std::to_string(limits_.bytes >> 20) + " MiB");
    }
    done_.bytes += static_cast<std::uint64_t>(size);
    const os::Fd file(::openat(parent_.get(), name_.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid()) {
      return Error::from_errno(errno, "make " + path + " in a layer");
    }
    LayerStream::Piece piece;
    while (true) {
      THAW_TRY(const bool is_there, stream.read(piece));
      if (!is_there) {
        break;
      }
      if (piece.offset > static_cast<std::uint64_t>(size) ||
          piece.bytes.size() > static_cast<std::uint64_t>(size) - piece.offset) {
        return refuse(path, "has more bytes than it says");
      }
      THAW_TRY_VOID(write_at(file, piece, path));
    }
    if (::ftruncate(file.get(), size) != 0) {
      return Error::from_errno(errno, "give " + path + " its size");
    }
    THAW_TRY_VOID(set_attributes(file, entry, path));
    const timespec modified{::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)};
    const timespec times[2] = {modified, modified};
    ::futimens(file.get(),
               times);  // a time that the file system does not have is no reason to fail
    return ok();
  }

  Result<void> write_at(const os::Fd& file, LayerStream::Piece piece, const std::string& path) {
    unlooked_ += piece.bytes.size();
    if (unlooked_ >= look_bytes) {
      unlooked_ = 0;
      THAW_TRY_VOID(check_room(file));
    }
    while (!piece.bytes.empty()) {
      const ssize_t count = ::pwrite(file.get(), piece.bytes.data(), piece.bytes.size(),
                                     static_cast<off_t>(piece.offset));
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count <= 0) {
        return Error::from_errno(count == 0 ? ENOSPC : errno, "write " + path + " of a layer");
      }
      piece.bytes.remove_prefix(static_cast<std::size_t>(count));
      piece.offset += static_cast<std::uint64_t>(count);
    }
    return ok();
  }

  Result<void> add_symlink(archive_entry* entry, const std::string& path) {
    const char* target = ::archive_entry_symlink(entry);
    const std::size_t size = target == nullptr ? 0 : std::string_view(target).size();
    if (size == 0 || size > longest_path) {
      return refuse(path, "is a link to a path of " + std::to_string(size) + " bytes");
    }
    THAW_TRY_VOID(clear(path));
    // Never followed here, and by containers inside of their root only.
    if (::symlinkat(target, parent_.get(), name_.c_str()) != 0) {
      return Error::from_errno(errno, "make the link " + path + " in a layer");
    }
    return give_to_owner(entry, path);
  }

  Result<void> add_fifo(archive_entry* entry, const std::string& path) {
    THAW_TRY_VOID(clear(path));
    if (::mkfifoat(parent_.get(), name_.c_str(), ::archive_entry_perm(entry) & 0777) != 0) {
      return Error::from_errno(errno, "make the pipe " + path + " in a layer");
    }
    return give_to_owner(entry, path);
  }

  Result<void> add_hardlink(const std::string& path, const char* written) {
    THAW_TRY(const std::string target, place_of(written, "target"));
    const auto slash = target.rfind('/');
    if (target.empty()) {
      return refuse(path, "is a second name of the root");
    }
    const std::string target_name = target.substr(slash + 1);
    const auto folder =
        tree_.open(slash == 0 ? "/" : target.substr(0, slash), O_PATH | O_DIRECTORY);
    struct stat status {};
    if (!folder ||
        ::fstatat(folder->get(), target_name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        is_whiteout(status)) {
      return refuse(
          path, "is a second name of " + target.substr(0, 200) + ", which the layer does not have");
    }
    if (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)) {
      return refuse(path, "is a second name of something that is no file");
    }
    if (target == path) {
      return ok();
    }
    THAW_TRY_VOID(clear(path));
    if (::linkat(folder->get(), target_name.c_str(), parent_.get(), name_.c_str(), 0) != 0) {
      return Error::from_errno(errno, "make " + path + " a second name of " + target);
    }
    return ok();
  }

  static Result<std::pair<uid_t, gid_t>> owner_of(archive_entry* entry, const std::string& path) {
    const la_int64_t uid = ::archive_entry_uid(entry);
    const la_int64_t gid = ::archive_entry_gid(entry);
    constexpr la_int64_t end = 0xffff'ffff;  // which means "as it is"
    if (uid < 0 || gid < 0 || uid >= end || gid >= end) {
      return refuse(path, "belongs to an id that there is not");
    }
    return std::pair(static_cast<uid_t>(uid), static_cast<gid_t>(gid));
  }

  Result<void> give_to_owner(archive_entry* entry, const std::string& path) {
    THAW_TRY(const auto owner, owner_of(entry, path));
    if (::fchownat(parent_.get(), name_.c_str(), owner.first, owner.second, AT_SYMLINK_NOFOLLOW) !=
        0) {
      return Error::from_errno(errno, "set the owner of " + path + " in a layer");
    }
    return ok();
  }

  Result<void> set_attributes(const os::Fd& file, archive_entry* entry, const std::string& path) {
    THAW_TRY(const auto owner, owner_of(entry, path));
    // In this order: a change of the owner takes setuid bits and capabilities away.
    if (::fchown(file.get(), owner.first, owner.second) != 0 ||
        ::fchmod(file.get(), ::archive_entry_perm(entry) & 07777) != 0) {
      return Error::from_errno(errno, "set owner and mode of " + path + " in a layer");
    }
    const int count = ::archive_entry_xattr_reset(entry);
    for (int i = 0; i < std::min<int>(count, most_xattrs); ++i) {
      const char* name = nullptr;
      const void* value = nullptr;
      std::size_t size = 0;
      if (::archive_entry_xattr_next(entry, &name, &value, &size) != ARCHIVE_OK) {
        break;
      }
      const std::string_view text = name == nullptr ? "" : name;
      const bool is_kept = text == "security.capability" ||
                           (text.starts_with("user.") && !text.starts_with("user.overlay."));
      if (is_kept && size <= longest_xattr) {
        unlooked_ += size;
        // A file system without them holds the file all the same.
        ::fsetxattr(file.get(), name, value, size, 0);
      }
    }
    return ok();
  }

  RootTree tree_;
  const UnpackLimits& limits_;
  Unpacked done_;
  std::uint64_t unlooked_ = 0;     // bytes since the disk was looked at
  std::string parent_path_ = "?";  // of the folder that is open; none is called so
  os::Fd parent_;
  std::string name_;  // of the entry, in it
};

}  // namespace

Result<Unpacked> unpack_layer(const os::Fd& layer, const std::string& folder,
                              const UnpackLimits& limits, const std::atomic<bool>& stop) {
  {
    // Before the first byte: there may be many layers, each too small to be looked at later.
    THAW_TRY(const os::Fd root, os::open_file(folder, O_RDONLY | O_DIRECTORY));
    THAW_TRY_VOID(check_room(root));
  }
  THAW_TRY(RootTree tree, RootTree::open_folder(folder));
  LayerStream stream(layer, limits.bytes, monotonic_now() + limits.time, stop);
  LayerUnpacker unpacker(std::move(tree), limits);
  while (true) {
    THAW_TRY(archive_entry* const entry, stream.next());
    if (entry == nullptr) {
      break;
    }
    THAW_TRY_VOID(unpacker.add(stream, entry));
  }
  THAW_TRY(unpacker.done().layer_id, stream.finish());
  return unpacker.done();
}

bool has_entry(const os::Fd& file, const std::vector<std::string>& names,
               const UnpackLimits& limits, const std::atomic<bool>& stop) {
  LayerStream stream(file, limits.bytes, monotonic_now() + limits.time, stop);
  while (true) {
    const auto entry = stream.next();
    if (!entry || *entry == nullptr) {
      return false;
    }
    const auto place = place_of(::archive_entry_pathname(*entry), "path");
    if (place && std::find(names.begin(), names.end(), *place) != names.end()) {
      return true;
    }
  }
}

}  // namespace thaw::image
