// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/snapshot_blame.h"

#include <doctest/doctest.h>

#include <initializer_list>

using namespace thaw::policy;

TEST_CASE("what the end of a restored container says of its snapshot") {
  struct Row {
    const char* what;
    RestoredEnd end;
    SnapshotBlame blame;
  };
  for (const Row& row : {
           Row{"it died before it was ready", {}, SnapshotBlame::no_good},
           {"it died when it was ready, before it answered anybody",
            {.was_ready = true},
            SnapshotBlame::failed},
           {"it died and had answered",
            {.was_ready = true, .has_served = true},
            SnapshotBlame::none},
           {"it was told to end before it was ready", {.was_told = true}, SnapshotBlame::none},
           {"it was ready, had nothing to do and was told to end",
            {.was_ready = true, .was_told = true},
            SnapshotBlame::none},
           {"it was ended since it did not answer",
            {.was_ready = true, .was_told = true, .was_silent = true},
            SnapshotBlame::failed},
           {"it was not ready in time, and killed for it",
            {.was_late = true, .was_killed = true},
            SnapshotBlame::failed},
           {"it did not take the news that it was restored, and was killed for it",
            {.was_unfit = true, .was_killed = true},
            SnapshotBlame::no_good},
           {"it said that its own start failed", {.said_why = true}, SnapshotBlame::none},
           {"somebody killed it before it was ready", {.was_killed = true}, SnapshotBlame::none},
           {"somebody killed it when it was ready",
            {.was_ready = true, .was_killed = true},
            SnapshotBlame::none},
           {"it was killed while it was to end for its silence",
            {.was_ready = true, .was_told = true, .was_silent = true, .was_killed = true},
            SnapshotBlame::failed},
       }) {
    CAPTURE(row.what);
    CHECK(blame_snapshot(row.end) == row.blame);
  }
}
