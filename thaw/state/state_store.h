// SPDX-License-Identifier: Apache-2.0
//
// StateStore: what is in the dicts and the item queues of all workspaces, on disk. Which of them
// there are is known by the catalog: an object begins with its first entry, and who deletes it says
// so here. Ends what has expired. Loop thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/state/dicts.h"
#include "thaw/state/item_queues.h"
#include "thaw/state/limits.h"
#include "thaw/state/object.h"
#include "thaw/store/database.h"
#include "thaw/store/disk_shares.h"

namespace thaw::state {

std::vector<store::Migration> migrations();

class StateStore {
 public:
  // Reads what counts the records and counts anew what cannot be read. `database` and `disk` (null:
  // nobody counts) outlive it.
  static Result<std::unique_ptr<StateStore>> open(async::Loop& loop, store::Database& database,
                                                  StateLimits limits, store::DiskShares* disk);
  ~StateStore();
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  Dicts& dicts() { return dicts_; }
  ItemQueues& queues() { return queues_; }

  // Begins to end what has expired, every few seconds.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }
  // Ends all that has expired by now.
  async::Task<void> sweep();

  // The object is gone: who waits there is told at once. Returns when nothing is left of it; may be
  // done again after a crash.
  async::Task<void> erase(Object object);
  // Those that something is stored of: up to `most` behind the id `after`, in their order.
  async::Task<std::vector<Object>> objects(std::string after, std::size_t most);

 private:
  StateStore(async::Loop& loop, std::unique_ptr<detail::Parts> parts);

  std::unique_ptr<detail::Parts> parts_;
  Dicts dicts_;
  ItemQueues queues_;
  async::TaskGroup tasks_;  // declared last: joined first
};

}  // namespace thaw::state
