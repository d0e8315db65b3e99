// SPDX-License-Identifier: Apache-2.0
//
// What the end of a restored container says of the snapshot that it was restored from. Only what
// the snapshot can have to do with counts: who was told to end, was killed from outside or said
// itself what was wrong has shown nothing of it, one way or the other. Pure.
#pragma once

namespace thaw::policy {

struct RestoredEnd {
  bool was_ready = false;
  bool has_served = false;  // it is proved to be well, and nothing is said any more
  // It was told to end, by whoever; and since it did not answer what it was asked.
  bool was_told = false;
  bool was_silent = false;
  bool was_late = false;   // not ready in time: once, that may be the machine's moment
  bool was_unfit = false;  // ready, and of no use: it did not take the news of its restore
  bool said_why = false;   // its own start failed, and it told so
  // Its sandbox was killed by somebody else, or with the process that starts containers; what it
  // did itself, and what its own memory limit did, is no such thing.
  bool was_killed = false;
};

enum class SnapshotBlame {
  none,
  failed,   // some of these in a row are too many
  no_good,  // at once: whoever starts from it next would fare the same
};

SnapshotBlame blame_snapshot(const RestoredEnd& end);

}  // namespace thaw::policy
