// SPDX-License-Identifier: Apache-2.0
//
// How a restored program is woken, and what a restore that failed says. The first
// thing it gets is a signal, on which its language runtime renews what must not be the same in two
// restores (random numbers, names) and reports its start. Meanwhile it finds the file that it waits
// for, which is a pipe: it reads who it is now only when that has been done. A plain server waits
// for nothing: if its runtime hears no signal it just runs on.
#pragma once

#include <optional>
#include <string>

#include "thaw/async/task.h"
#include "thaw/base/time.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/snapshot_point.h"
#include "thaw/worker/start_report.h"

namespace thaw::worker {

// Whether what was written so is woken by a signal. A program that waits for a file always is; of a
// server it depends on what runs in it.
bool is_woken(const SnapshotPoint& point, const sandbox::Checkpoint& written);
// Whether a restore that failed so has shown something of what was to be restored: who is short of
// memory or processes, was killed, or lost what starts containers has shown nothing of it.
bool is_of_snapshot(const Error& error);
// Before one that waits for a file is restored.
Result<void> expect_restored(const SnapshotPoint& point, const std::string& folder,
                             InsideUsers users = InsideUsers::root);
// Ends when the restored program has answered and was told who it is. `folder` is the container's,
// as the report is.
async::Task<void> wake_restored(sandbox::Sandbox& sandbox, const SnapshotPoint& point,
                                StartReport& report, std::string folder, Duration patience = 15s);

}  // namespace thaw::worker
