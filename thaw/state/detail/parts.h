// SPDX-License-Identifier: Apache-2.0
//
// What dicts and item queues share on the loop: the database, the limits, the disk's shares, and
// how a transaction of either runs. Owned by the StateStore; loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/base/log.h"
#include "thaw/state/detail/rows.h"
#include "thaw/store/database.h"
#include "thaw/store/disk_shares.h"

namespace thaw::state::detail {

struct Parts {
  store::Database& database;
  StateLimits limits;
  store::DiskShares* disk = nullptr;  // null: nobody counts

  void note(const model::WorkspaceId& workspace, const Use& use) const {
    if (disk != nullptr) {
      disk->set(workspace.str(), store::DiskShares::Kind::state, use.bytes);
    }
  }
  // resource_exhausted if the workspace is not to have so much more of the disk.
  Result<void> check_disk(const model::WorkspaceId& workspace, std::uint64_t more) const {
    return disk == nullptr || more == 0 ? ok() : disk->check(workspace.str(), more);
  }
  static void say(const std::vector<std::string>& set_aside) {
    for (const std::string& what : set_aside) {
      log_error("a record of a dict or a queue cannot be read", {{"record", what}});
    }
  }
};

// `work` runs in one transaction on a database thread and touches values only.
template <class T>
async::Task<T> read(const Parts& parts, std::function<Result<T>(Rows&)> work) {
  std::function<Result<T>(store::Transaction&)> wrapped =
      [work = std::move(work), limits = parts.limits,
       now = wall_now()](store::Transaction& transaction) {
        Rows rows(transaction, limits, now);
        return work(rows);
      };
  co_return co_await parts.database.read<T>(std::move(wrapped));
}

// Resumes when it is on disk, also if the task was cancelled meanwhile.
template <class T>
async::Task<Changed<T>> change(const Parts& parts, model::WorkspaceId workspace,
                               std::function<Result<Changed<T>>(Rows&)> work) {
  std::function<Result<Changed<T>>(store::Transaction&)> wrapped =
      [work = std::move(work), limits = parts.limits,
       now = wall_now()](store::Transaction& transaction) {
        Rows rows(transaction, limits, now);
        return work(rows);
      };
  THAW_CO_TRY(Changed<T> changed, co_await parts.database.write<Changed<T>>(std::move(wrapped)));
  parts.note(workspace, changed.use);
  Parts::say(changed.set_aside);
  co_return changed;
}

// Removes all with a smaller number than the next one, some at a time.
async::Task<void> clear_all(const Parts& parts, Object object, RequestKey request);
// Removes what is left of an object that is gone.
async::Task<void> erase_all(const Parts& parts, Object object);

}  // namespace thaw::state::detail
