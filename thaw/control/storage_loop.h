// SPDX-License-Identifier: Apache-2.0
//
// StorageLoop: gives back the disk that nothing needs any more. Every round it marks the blobs that
// mounts, calls and repositories refer to and sweeps the others (store/blob_store.h), erases mounts
// that no function and no client wants, removes the layers of mounts that are gone, and cuts the
// logs of workspaces that have more than their share. A round is a walk over all references, in
// pieces on the loop; the longer it takes, the rarer it is. What is being made while it runs is
// young, and stays. Nothing of it is on disk: a server that is killed in the middle begins anew.
// Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/blob_store.h"
#include "thaw/worker/mount_layers.h"

namespace thaw::control {

struct StorageOptions {
  Duration period = std::chrono::minutes(1);  // between two rounds, at least
  std::uint64_t log_bytes_per_workspace = 1ull << 30;
  Duration keep_unused_mounts = std::chrono::hours(1);
};

struct StorageParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  store::BlobStore& blobs;
  worker::MountLayers& mounts;
  logs::LogHub& logs;
  // Whose workspace's a log stream is; empty if nobody knows any more.
  std::function<std::string(const std::string& stream)> owner_of_log;
  // The mounts of containers that live, whatever became of their functions.
  std::function<std::vector<model::MountId>()> mounts_in_use;
  // Workspaces whose clients are in the middle of something that takes long (a build), and will
  // use the mounts that they have made before it.
  std::function<std::set<model::WorkspaceId>()> busy;
  // Finds blobs in the payloads of calls: the dialect's word.
  queue::FindReferences find_blobs;
  // Tells of what others keep in the blob store. May be empty.
  std::function<async::Task<void>(queue::NoteReference note)> more_references = {};
};

struct StorageCounters {
  std::uint64_t rounds = 0;
  std::uint64_t failed_rounds = 0;
  std::uint64_t blobs_removed = 0;
  std::uint64_t bytes_removed = 0;
  std::uint64_t mounts_removed = 0;
};

class StorageLoop {
 public:
  StorageLoop(StorageParts parts, StorageOptions options)
      : parts_(std::move(parts)), options_(options), tasks_(parts_.loop) {}

  void start();
  async::Task<void> stop() { return tasks_.stop(); }
  async::Task<void> round();
  const StorageCounters& counters() const { return counters_; }

 private:
  static async::Task<void> run(StorageLoop& self);
  static async::Task<void> counted_round(StorageLoop& self);
  async::Task<void> erase_unused_mounts();
  async::Task<void> mark_mounts();
  void trim_logs();

  StorageParts parts_;
  StorageOptions options_;
  StorageCounters counters_;
  std::map<model::WorkspaceId, WallTime> last_busy_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::control
