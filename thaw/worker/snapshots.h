// SPDX-License-Identifier: Apache-2.0
//
// What a launch plan says about memory snapshots, and how a restored program is woken. The first
// thing it gets is a signal, on which its language runtime renews what must not be the same in two
// restores (random numbers, names) and reports its start. Meanwhile it finds the file that it waits
// for, which is a pipe: it reads who it is now only when that has been done.
#pragma once

#include <optional>
#include <string>

#include "thaw/async/task.h"
#include "thaw/base/time.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/worker/start_report.h"

namespace thaw::worker {

// Of a function whose program has a snapshot point; the dialect's.
struct SnapshotPoint {
  int restored_signal = 0;
  std::string file_name;   // in the container's folder; does not exist before
  std::string file_bytes;  // at most a page
};

// Before it is restored.
Result<void> expect_restored(const SnapshotPoint& point, const std::string& folder,
                             InsideUsers users = InsideUsers::root);
// Ends when the restored program has answered and was told who it is. `folder` is the container's,
// as the report is.
async::Task<void> wake_restored(sandbox::Sandbox& sandbox, const SnapshotPoint& point,
                                StartReport& report, std::string folder, Duration patience = 15s);

}  // namespace thaw::worker
