// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/mount_layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "thaw/os/fd.h"
#include "thaw/os/files.h"

namespace thaw::worker {

namespace fs = std::filesystem;

std::string mount_checksum(const std::vector<model::MountFile>& files) {
  std::vector<const model::MountFile*> sorted;
  for (const auto& file : files) {
    sorted.push_back(&file);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->path < b->path; });
  std::string text;
  for (const auto* file : sorted) {
    text += file->path + '\0' + file->sha256_hex + '\0' + std::to_string(file->mode) + '\n';
  }
  return store::sha256_hex(text);
}

MountLayers::MountLayers(async::Pool& pool, store::BlobStore& blobs, std::string folder)
    : pool_(pool), blobs_(blobs), folder_(std::move(folder)) {}

namespace {

struct FileCopy {
  std::string source;
  std::string relative;
  std::uint32_t mode = 0644;
};

Result<std::string> relative_path(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  if (!normal.is_absolute() || !normal.has_filename()) {
    return Error::invalid_argument("mount path '" + path + "' is not the absolute path of a file");
  }
  return normal.relative_path().string();
}

// On a pool thread. A temporary folder is renamed when complete: a layer exists whole or not.
Result<void> build_folder(const std::string& target, const std::vector<FileCopy>& files) {
  std::error_code error;
  const std::string temporary = target + ".tmp";
  THAW_TRY_VOID(os::remove_tree(temporary));
  fs::create_directories(temporary, error);
  for (const FileCopy& file : files) {
    const fs::path destination = fs::path(temporary) / file.relative;
    fs::create_directories(destination.parent_path(), error);
    // The blob has this mode, and nobody writes to either: layers are read-only.
    if (!error && (file.mode & 0777) == 0644 &&
        ::link(file.source.c_str(), destination.c_str()) == 0) {
      continue;
    }
    if (!error) {
      // A path that comes twice: what is there may be a blob itself, and is never written to.
      ::unlink(destination.c_str());
      fs::copy_file(file.source, destination, fs::copy_options::overwrite_existing, error);
    }
    if (error) {
      (void)os::remove_tree(temporary);
      return Error::from_errno(error.value(), "cannot lay out mount file " + file.relative);
    }
    if (::chmod(destination.c_str(), (file.mode & 0777) | 0400) != 0) {
      return Error::from_errno(errno, "cannot set the mode of mount file " + file.relative);
    }
  }
  // Its names and bytes are on disk before it is taken for whole.
  THAW_TRY(const os::Fd folder, os::open_file(temporary, O_RDONLY | O_DIRECTORY));
  if (::syncfs(folder.get()) != 0) {
    return Error::from_errno(errno, "cannot bring the mount folder to disk");
  }
  fs::rename(temporary, target, error);
  if (error) {
    return Error::from_errno(error.value(), "cannot finish mount folder " + target);
  }
  return ok();
}

}  // namespace

async::Task<std::string> MountLayers::source_of(std::shared_ptr<const model::Mount> mount) {
  std::string source = "mount:" + mount->checksum;
  THAW_CO_TRY([[maybe_unused]] const std::string folder, co_await folder_of(std::move(mount)));
  co_return source;
}

async::Task<std::string> MountLayers::folder_of(std::shared_ptr<const model::Mount> mount) {
  const std::string target = folder_ + "/" + mount->checksum;
  while (building_.contains(mount->checksum)) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await built_.wait(Instant::max()));
  }
  if (fs::exists(target)) {
    co_return target;
  }
  std::vector<FileCopy> files;
  for (const auto& file : mount->files) {
    THAW_CO_TRY(std::string relative, relative_path(file.path));
    THAW_CO_TRY(std::string source, blobs_.path(mount->workspace.str(), file.sha256_hex));
    files.push_back({std::move(source), std::move(relative), file.mode});
  }
  building_.insert(mount->checksum);
  auto work = [target, files = std::move(files)] { return build_folder(target, files); };
  async::PoolShare share{pool_, mount->workspace.str()};
  const Result<void> outcome = co_await async::blocking(std::move(share), std::move(work));
  building_.erase(mount->checksum);
  built_.notify_all();
  if (!outcome) {
    co_return outcome.error();
  }
  co_return target;
}

async::Task<void> MountLayers::keep_only(IsWanted is_wanted) {
  auto list = [folder = folder_] {
    return Result<std::vector<std::string>>(os::list_folder(folder));
  };
  THAW_CO_TRY(const auto names, co_await async::blocking(pool_, std::move(list)));
  for (const std::string& name : names) {
    const std::string checksum = name.substr(0, name.find('.'));
    if (building_.contains(checksum) || (name == checksum && is_wanted(checksum))) {
      continue;
    }
    // Nobody makes it while it goes.
    building_.insert(checksum);
    auto remove = [path = folder_ + "/" + name,
                   gone = folder_ + "/" + checksum + ".gone"]() -> Result<void> {
      // A folder of that name is whole, also after a crash in the middle of its removal.
      if (path != gone && ::rename(path.c_str(), gone.c_str()) != 0) {
        THAW_TRY_VOID(os::remove_tree(gone));
        if (::rename(path.c_str(), gone.c_str()) != 0) {
          return Error::from_errno(errno, "cannot remove a mount folder");
        }
      }
      return os::remove_tree(gone);
    };
    const Result<void> removed = co_await async::blocking(pool_, std::move(remove));
    building_.erase(checksum);
    built_.notify_all();
    if (!removed) {
      co_return removed.error();
    }
  }
  co_return ok();
}

}  // namespace thaw::worker
