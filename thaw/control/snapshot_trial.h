// SPDX-License-Identifier: Apache-2.0
//
// A trial of a snapshot before anybody starts from it: it is restored in the background, its server
// has to become ready by the probe by which all are, and to be so a moment later. Loop thread only.
#pragma once

#include "thaw/control/launch_plans.h"
#include "thaw/control/snapshots.h"

namespace thaw::control {

struct SnapshotTrialParts {
  Pools& pools;
  LaunchPlans& plans;
  worker::Worker& worker;
};

// How long it took from its launch until it was ready. failed_precondition says what was wrong with
// it; aborted: a call needed its place. Nothing is left of it in any case.
async::Task<Duration> try_restore(SnapshotTrialParts parts, Snapshots::Spec spec,
                                  snapshot::SnapshotPtr written);

}  // namespace thaw::control
