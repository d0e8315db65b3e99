// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/snapshot_blame.h"

namespace thaw::policy {

SnapshotBlame blame_snapshot(const RestoredEnd& end) {
  if (end.has_served || end.said_why) {
    return SnapshotBlame::none;
  }
  if (end.was_late) {
    return SnapshotBlame::failed;  // and was killed for it
  }
  if (end.was_unfit) {
    return SnapshotBlame::no_good;
  }
  if (end.was_told ? !end.was_silent : end.was_killed) {
    return SnapshotBlame::none;
  }
  return end.was_ready ? SnapshotBlame::failed : SnapshotBlame::no_good;
}

}  // namespace thaw::policy
