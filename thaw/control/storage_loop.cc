// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/storage_loop.h"

#include <algorithm>

#include "thaw/async/every.h"
#include "thaw/base/log.h"

namespace thaw::control {

namespace {

constexpr std::size_t files_at_once = 2'000;
// A round takes at most so small a part of the time.
constexpr int rest_per_work = 20;

}  // namespace

void StorageLoop::start() { tasks_.start("storage", run(*this)); }

async::Task<void> StorageLoop::run(StorageLoop& self) {
  if (const Result<void> done = co_await self.parts_.blobs.remove_strays(); !done) {
    log_warning("files that no blob's row names stay", {{"error", done.error().to_string()}});
  }
  const async::Pace pace{.period = self.options_.period, .rest_per_work = rest_per_work};
  std::function<async::Task<void>()> next = [&self] { return counted_round(self); };
  co_return co_await async::every(pace, "giving unused storage back", std::move(next));
}

// One that fails is begun anew: nothing is swept that was not marked as a whole.
async::Task<void> StorageLoop::counted_round(StorageLoop& self) {
  const Result<void> done = co_await self.round();
  self.counters_.failed_rounds += done ? 0 : 1;
  co_return done;
}

async::Task<void> StorageLoop::round() {
  THAW_CO_TRY_VOID(co_await erase_unused_mounts());
  parts_.blobs.begin_marks();
  THAW_CO_TRY_VOID(co_await mark_mounts());
  const queue::NoteReference note = [this](const model::WorkspaceId& workspace,
                                           const std::string& name) {
    parts_.blobs.mark(workspace.str(), name);
  };
  THAW_CO_TRY_VOID(co_await parts_.queue.visit_references(parts_.find_blobs, note));
  if (parts_.more_references) {
    THAW_CO_TRY_VOID(co_await parts_.more_references(note));
  }
  THAW_CO_TRY(const store::BlobStore::Swept swept, co_await parts_.blobs.sweep());
  counters_.blobs_removed += swept.blobs;
  counters_.bytes_removed += swept.bytes;
  if (swept.blobs > 0) {
    log_info("unused blobs removed",
             {{"blobs", std::to_string(swept.blobs)}, {"bytes", std::to_string(swept.bytes)}});
  }
  std::set<std::string> layers;
  for (const auto& [id, mount] : parts_.catalog.mounts.all()) {
    layers.insert(mount->checksum);
  }
  auto is_wanted = [this, layers = std::move(layers)](const std::string& checksum) {
    const auto& mounts = parts_.catalog.mounts.all();
    // One that was not there a moment ago may be now.
    return layers.contains(checksum) ||
           std::any_of(mounts.begin(), mounts.end(),
                       [&](const auto& entry) { return entry.second->checksum == checksum; });
  };
  THAW_CO_TRY_VOID(co_await parts_.mounts.keep_only(std::move(is_wanted)));
  trim_logs();
  ++counters_.rounds;
  co_return ok();
}

// A mount without a name goes with the last version that has it; one that was made for a version
// or an image that is still to come has an hour, from the end of the workspace's last build on.
async::Task<void> StorageLoop::erase_unused_mounts() {
  std::set<model::MountId> used;
  for (model::MountId& id : parts_.mounts_in_use()) {
    used.insert(std::move(id));
  }
  parts_.catalog.each_spec([&used](const model::FunctionSpec& spec) {
    used.insert(spec.mounts.begin(), spec.mounts.end());
  });
  for (const model::WorkspaceId& workspace : parts_.busy()) {
    last_busy_[workspace] = wall_now();
  }
  const WallTime young = wall_now() - std::chrono::duration_cast<std::chrono::microseconds>(
                                          options_.keep_unused_mounts);
  std::vector<std::string> unused;
  for (const auto& [id, mount] : parts_.catalog.mounts.all()) {
    const auto busy = last_busy_.find(mount->workspace);
    const bool is_waited_for = busy != last_busy_.end() && busy->second >= young;
    if (mount->name.empty() && mount->used_at < young && !is_waited_for &&
        !used.contains(mount->id)) {
      unused.push_back(id);
    }
  }
  for (std::size_t i = 0; i < unused.size(); ++i) {
    // Each is looked at again: a client may have asked for it while another one was erased.
    const auto mount = parts_.catalog.mounts.find(unused[i]);
    if (mount && mount->used_at < young) {
      THAW_CO_TRY_VOID(co_await parts_.catalog.mounts.erase(unused[i]));
      ++counters_.mounts_removed;
    }
  }
  co_return ok();
}

// The largest logs of a workspace are cut to the same size, so that all of them fit its share: one
// loud app costs the quiet ones beside it nothing.
void StorageLoop::trim_logs() {
  std::map<std::string, std::vector<logs::StreamUse>> by_owner;
  for (logs::StreamUse& use : parts_.logs.uses()) {
    by_owner[parts_.owner_of_log(use.stream)].push_back(std::move(use));
  }
  for (auto& [owner, uses] : by_owner) {
    std::sort(uses.begin(), uses.end(),
              [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
    std::uint64_t left = options_.log_bytes_per_workspace;
    for (std::size_t i = 0; i < uses.size(); ++i) {
      const std::uint64_t fair = left / (uses.size() - i);
      if (uses[i].bytes > fair) {
        parts_.logs.trim(uses[i].stream, fair);
      }
      left -= std::min(uses[i].bytes, fair);
    }
  }
}

async::Task<void> StorageLoop::mark_mounts() {
  std::vector<std::shared_ptr<const model::Mount>> mounts;
  for (const auto& [id, mount] : parts_.catalog.mounts.all()) {
    mounts.push_back(mount);
  }
  std::size_t files = 0;
  for (const auto& mount : mounts) {
    for (const model::MountFile& file : mount->files) {  // tidy(held): a mount never changes
      parts_.blobs.mark(mount->workspace.str(), file.sha256_hex);
      if (++files % files_at_once == 0) {
        THAW_CO_TRY_VOID(co_await async::yield());
      }
    }
  }
  co_return ok();
}

}  // namespace thaw::control
