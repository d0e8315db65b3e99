// SPDX-License-Identifier: Apache-2.0
//
// Volumes: the volumes of this machine, one host folder each. All containers that mount a volume
// have the very same files, so a file that many of them map is in memory once; what one writes the
// others see at once, and flush() is what makes it last (docs/decisions/0007). Calls that block
// run on threads of its own, so that a long copy does not hold up the start of containers; whoever
// owns a volume has a share of them (async/pool.h).
// Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/model/function.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/store/disk_shares.h"
#include "thaw/worker/byte_copy.h"
#include "thaw/worker/launch_folders.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::worker {

class Volumes final : public VolumeMounts {
 public:
  // Whose share of the threads and of the disk a volume takes; without it each has its own.
  using OwnerOf = std::function<std::string(const model::VolumeId&)>;
  Volumes(async::Loop& loop, std::string folder, store::DiskShares& disk, OwnerOf owner_of = {});

  // Makes the folder and removes, behind the start, what a killed server left half done.
  Result<void> start();
  async::Task<void> stop();

  async::Task<void> create(model::VolumeId id);
  // Removes the volume with all its files; one that is not there is fine. Containers that have it
  // mounted see an empty folder.
  async::Task<void> erase(model::VolumeId id);
  async::Task<std::vector<Bind>> binds(std::vector<model::VolumeMount> mounts) override;
  // As launch plans name its files.
  static std::string source_of(const model::VolumeId& id) { return "volume:" + id.str(); }
  // The files on the host.
  std::string files_of(const model::VolumeId& id) const { return folder_of(id) + "/files"; }
  // Returns when all that was written to any volume before the call is on disk. Calls at one time
  // share one sync.
  async::Task<void> flush();
  Result<void> check_space(const model::VolumeId& id, std::uint64_t bytes) const override {
    return disk_.check(owner_of(id), bytes);
  }
  // Looks how much disk each owner's volumes take, uploads that are not finished included.
  async::Task<void> measure();

  // Runs `work`, a Result<T>(const VolumeFolder&), on a thread of the volumes' own.
  template <class F, class R = std::invoke_result_t<F, const VolumeFolder&>>
  async::Task<typename R::value_type> run(model::VolumeId id, F work) {
    auto inside = [folder = folder_of(id), work = std::move(work)]() mutable -> R {
      THAW_TRY(const VolumeFolder volume, open_volume(folder));
      return work(volume);
    };
    co_return co_await async::blocking(share_of(id), std::move(inside));
  }
  // The same for a volume whose folder is not needed.
  template <class F, class R = std::invoke_result_t<F>>
  async::Task<typename R::value_type> run_apart(model::VolumeId id, F work) {
    co_return co_await async::blocking(share_of(id), std::move(work));
  }
  // Runs `step`, a Result<ByteCopy::Progress>(), again and again until it is done, with others'
  // work between two steps. Ends before the next one if the task is cancelled, or if there would
  // be no room for what a step may write.
  template <class F>
  async::Task<void> run_steps(model::VolumeId id, F step) {
    while (true) {
      THAW_CO_TRY_VOID(check_space(id, copy_step_bytes));
      const Result<ByteCopy::Progress> done = co_await async::blocking(share_of(id), step);
      if (!done) {
        co_return done.error();
      }
      if (*done == ByteCopy::Progress::done) {
        co_return ok();
      }
      if (co_await async::is_cancelled()) {
        co_return Error::cancelled("the caller has gone");
      }
    }
  }

 private:
  std::string folder_of(const model::VolumeId& id) const { return folder_ + "/" + id.str(); }
  std::string owner_of(const model::VolumeId& id) const {
    return owner_of_ ? owner_of_(id) : id.str();
  }
  async::PoolShare share_of(const model::VolumeId& id) { return {pool_, owner_of(id)}; }
  static async::Task<void> sweep_loop(Volumes& self);

  std::string folder_;
  store::DiskShares& disk_;
  OwnerOf owner_of_;
  async::Pool pool_{4};
  std::uint64_t syncs_begun_ = 0;
  std::uint64_t syncs_ended_ = 0;
  bool syncing_ = false;
  Result<void> last_sync_;
  async::Event synced_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::worker
