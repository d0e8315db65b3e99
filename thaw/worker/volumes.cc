// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volumes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/worker/tree_use.h"
#include "thaw/worker/volume_upload.h"

namespace thaw::worker {

namespace {

constexpr std::string_view doomed_prefix = "doomed-";
// An upload that took longer is not coming back for its blocks.
constexpr std::int64_t staged_block_lifetime_s = 24 * 3600;

Result<void> make_synced_folder(const std::string& path, unsigned mode) {
  THAW_TRY_VOID(os::make_folders(path, mode));
  const std::string parent = path.substr(0, path.rfind('/'));
  for (const std::string& folder : {path, parent}) {
    THAW_TRY(const os::Fd fd, os::open_file(folder, O_RDONLY | O_DIRECTORY));
    if (::fsync(fd.get()) != 0) {
      return Error::from_errno(errno, "cannot sync " + folder);
    }
  }
  return ok();
}

// Blocks wait for the rest of their upload, over a restart too; anything else that is older than
// this server was being made or removed by an earlier one.
bool is_stale(const std::string& staging, const std::string& name, std::int64_t server_began_s) {
  struct stat status;
  if (::lstat((staging + "/" + name).c_str(), &status) != 0) {
    return false;
  }
  const std::int64_t changed = status.st_ctim.tv_sec;
  return is_block_name(name, name.substr(0, 64))
             ? changed + staged_block_lifetime_s < std::int64_t{::time(nullptr)}
             : changed < server_began_s;
}

// What stays is told, and keeps nothing else from going.
void remove_or_tell(const std::string& path) {
  if (const Result<void> removed = os::remove_tree(path); !removed) {
    log_warning("a left-over of a volume cannot be removed; remove it by hand",
                {{"error", removed.error().to_string()}});
  }
}

Result<void> sweep_folders(const std::string& folder, std::int64_t server_began_s) {
  for (const std::string& name : os::list_folder(folder)) {
    const std::string path = folder + "/" + name;
    if (name.starts_with(doomed_prefix)) {
      remove_or_tell(path);
      continue;
    }
    const std::string staging = path + "/staging";
    for (const std::string& staged : os::list_folder(staging)) {
      if (is_stale(staging, staged, server_began_s)) {
        remove_or_tell(staging + "/" + staged);
      }
    }
  }
  return ok();
}

Result<void> sync_file_system(const std::string& folder) {
  THAW_TRY(const os::Fd fd, os::open_file(folder, O_RDONLY | O_DIRECTORY));
  if (::syncfs(fd.get()) != 0) {
    return Error::from_errno(errno, "cannot bring the volumes to disk at " + folder);
  }
  return ok();
}

}  // namespace

Volumes::Volumes(async::Loop& loop, std::string folder, store::DiskShares& disk, OwnerOf owner_of)
    : folder_(std::move(folder)), disk_(disk), owner_of_(std::move(owner_of)), tasks_(loop) {}

Result<void> Volumes::start() {
  THAW_TRY_VOID(os::make_folders(folder_, 0700));
  tasks_.start("volumes", sweep_loop(*this));
  return ok();
}

async::Task<void> Volumes::stop() {
  const Result<void> outcome = co_await tasks_.stop();
  pool_.join();
  co_return outcome;
}

async::Task<void> Volumes::sweep_loop(Volumes& self) {
  std::function<async::Task<void>()> next = [&self, began = ::time(nullptr)]() {
    auto work = [folder = self.folder_, began] { return sweep_folders(folder, began); };
    return async::blocking(self.pool_, std::move(work));
  };
  const async::Pace pace{.period = std::chrono::hours(1)};
  return async::every(pace, "removing left-overs of volumes", std::move(next));
}

async::Task<void> Volumes::create(model::VolumeId id) {
  auto work = [folder = folder_of(id)]() -> Result<void> {
    THAW_TRY_VOID(make_synced_folder(folder, 0700));
    THAW_TRY_VOID(make_synced_folder(folder + "/staging", 0700));
    return make_synced_folder(folder + "/files", 0755);
  };
  co_return co_await async::blocking(pool_, std::move(work));
}

async::Task<void> Volumes::erase(model::VolumeId id) {
  auto work = [from = folder_of(id),
               to = folder_ + "/" + std::string(doomed_prefix) + id.str()]() -> Result<void> {
    // At once for who looks; the files follow, at the next start if need be.
    if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      return Error::from_errno(errno, "cannot remove the volume at " + from);
    }
    remove_or_tell(to);
    return ok();
  };
  co_return co_await async::blocking(pool_, std::move(work));
}

async::Task<std::vector<Bind>> Volumes::binds(std::vector<model::VolumeMount> mounts) {
  // An outer mount must not hide an inner one.
  std::sort(mounts.begin(), mounts.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  std::vector<Bind> binds;
  for (const model::VolumeMount& mount : mounts) {
    auto prepare = [sub_path = mount.sub_path](const VolumeFolder& volume) {
      return sub_path.empty() ? ok() : make_sub_folder(volume.files, sub_path);
    };
    if (const Result<void> ready = co_await run(mount.volume, std::move(prepare)); !ready) {
      co_return Error(ready.error()).with("volume", mount.volume.str()).with("path", mount.path);
    }
    Bind bind;
    bind.source = source_of(mount.volume);
    bind.inside = mount.sub_path;
    bind.target = mount.path;
    bind.access =
        mount.access == model::VolumeMount::Access::read_only || !check_space(mount.volume, 0)
            ? Bind::Access::read_only
            : Bind::Access::read_write;
    binds.push_back(std::move(bind));
  }
  co_return binds;
}

async::Task<void> Volumes::flush() {
  // A sync that runs already may have passed what this caller wrote.
  const std::uint64_t wanted = syncs_begun_ + 1;
  while (syncs_ended_ < wanted) {
    if (syncing_) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await synced_.wait(Instant::max()));
      continue;
    }
    syncing_ = true;
    const std::uint64_t number = ++syncs_begun_;
    auto work = [folder = folder_] { return sync_file_system(folder); };
    last_sync_ = co_await async::blocking(pool_, std::move(work));
    syncing_ = false;
    syncs_ended_ = number;
    synced_.notify_all();
  }
  co_return last_sync_;
}

async::Task<void> Volumes::measure() {
  auto list = [folder = folder_] {
    return Result<std::vector<std::string>>(os::list_folder(folder));
  };
  THAW_CO_TRY(const auto names, co_await async::blocking(pool_, std::move(list)));
  std::map<std::string, std::uint64_t> sums;
  for (const std::string& name : names) {
    // One that is being removed is still its owner's, until its bytes are given back.
    const model::VolumeId id(name.starts_with(doomed_prefix) ? name.substr(doomed_prefix.size())
                                                             : name);
    auto use = std::make_shared<TreeUse>(folder_ + "/" + name);
    for (auto progress = TreeUse::Progress::more; progress == TreeUse::Progress::more;) {
      auto step = [use] { return Result<TreeUse::Progress>(use->step()); };
      THAW_CO_TRY(progress, co_await async::blocking(share_of(id), std::move(step)));
    }
    const std::uint64_t limit = disk_.quota();
    if (use->is_incomplete() && limit != 0) {
      log_warning("a volume's folders are too many and too deep to be measured; it counts as full",
                  {{"volume", id.str()}});
    }
    sums[owner_of(id)] += use->is_incomplete() ? std::max(limit + 1, use->bytes()) : use->bytes();
  }
  for (const auto& [owner, use] : std::map(disk_.all())) {
    sums.emplace(owner, 0);
  }
  for (const auto& [owner, bytes] : sums) {
    disk_.set(owner, store::DiskShares::Kind::volumes, bytes);
  }
  co_return ok();
}

}  // namespace thaw::worker
