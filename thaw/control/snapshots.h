// SPDX-License-Identifier: Apache-2.0
//
// Snapshots: which function should have a memory snapshot taken, and which snapshot a start may
// use. A version that has started once gets one, in a container of its own that no caller waits
// for, one at a time on this machine. A version that refuses, or whose snapshots nobody could ever
// start from, is tried a few times and then left alone. Loop thread only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/task.h"
#include "thaw/model/function.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

struct SnapshotCounters {
  std::uint64_t taken = 0;
  std::uint64_t refused = 0;
};

class Snapshots {
 public:
  using Spec = std::shared_ptr<const model::FunctionSpec>;

  // `store` may be null: nothing is taken or restored then.
  Snapshots(snapshot::SnapshotStore* store, worker::Worker& worker)
      : store_(store), worker_(worker) {}

  bool enabled() const { return store_ != nullptr; }
  snapshot::SnapshotStore& store() { return *store_; }

  // Whose place among the snapshots it is: a function's, and of servers, of which several versions
  // are called side by side, each version's.
  static std::string slot_of(const model::FunctionSpec& spec);
  // Everything that a restored container shares with the one that was checkpointed; `identity` is
  // the worker's, of the plan's sources.
  static snapshot::SnapshotKey key_of(const model::FunctionSpec& spec,
                                      const worker::LaunchPlan& plan, const std::string& identity);
  // The same, asking the worker.
  async::Task<snapshot::SnapshotKey> key_for(Spec spec, const worker::LaunchPlan& plan);
  // Adds what is to be restored to the plan of a serving container, or why there is nothing.
  struct Offer {
    std::string key_digest;          // empty if it can have no snapshot
    snapshot::SnapshotPtr snapshot;  // its files are there as long as this is held
  };
  async::Task<Offer> offer(Spec spec, worker::LaunchPlan& plan);

  // There is one that a start of this version may be able to use.
  bool is_there(const model::FunctionSpec& spec) const {
    return store_ != nullptr && store_->has_one_of(spec.workspace.str(), slot_of(spec));
  }

  // A container of this function has become ready, at another level.
  void started(Spec spec, const std::string& key_digest);
  // The next function to take a snapshot of; waits for it. Another workspace's comes first: one
  // that is slow keeps others waiting for one of its own at most.
  async::Task<Spec> next();
  void taken(const Spec& spec);
  void refused(const Spec& spec);
  // A call needed its place: that was no try, and it is asked for again with a later start.
  void gave_way(const Spec& spec);
  // Another try would end as the last one did: there is none, until the function changes.
  void settled(const Spec& spec);
  // A restored container has become ready; a restore failed; one ended before it was ready.
  void succeeded(const snapshot::SnapshotPtr& snapshot);
  void failed(const snapshot::SnapshotPtr& snapshot);
  void retire(const snapshot::SnapshotPtr& snapshot, const std::string& why);
  // The function is gone, and with it what its program had in memory.
  async::Task<void> forget(model::FunctionId function);
  // Versions of servers that are not among these are gone.
  void keep_only(const std::function<bool(const std::string& version)>& is_there);
  const SnapshotCounters& counters() const { return counters_; }

 private:
  static constexpr std::size_t most_waiting = 1000;
  static constexpr std::size_t most_waiting_of_one = most_waiting / 4;  // workspace
  static constexpr int most_tries = 3;  // of one key, without a successful restore
  // Versions of a function that are called in turn do not make each other's tries forgotten.
  static constexpr std::size_t most_keys = 8;

  struct Tries {
    struct OfKey {
      std::string key;
      int count = 0;
    };
    std::deque<OfKey> keys;  // the last that was asked for is at the end
    bool is_waiting = false;
    int& count_of(const std::string& key);
    int& last() { return keys.back().count; }
  };

  void no_longer_waits(const Spec& spec);

  snapshot::SnapshotStore* store_;
  worker::Worker& worker_;
  std::map<std::string, Tries> tries_;  // by slot
  std::deque<Spec> waiting_;
  model::WorkspaceId last_workspace_;  // whose came out last
  async::Event wanted_;
  SnapshotCounters counters_;
};

}  // namespace thaw::control
