// SPDX-License-Identifier: Apache-2.0
//
// SnapshotTaker: takes the memory snapshots that Snapshots asks for, one at a time: a container in
// the background is stopped at its snapshot point and written to disk. It belongs to no pool, gets
// no inputs, and nobody waits for it. Loop thread only.
#pragma once

#include <string>

#include "thaw/control/launch_plans.h"
#include "thaw/control/snapshots.h"

namespace thaw::control {

struct SnapshotTakerParts {
  Pools& pools;
  catalog::Catalog& catalog;
  Snapshots& snapshots;
  worker::Worker& worker;
  logs::LogHub& logs;
  Measurements& measurements;
  LaunchPlans& plans;
};

class SnapshotTaker {
 public:
  explicit SnapshotTaker(SnapshotTakerParts parts) : parts_(parts) {}

  // Both run until they are cancelled.
  static async::Task<void> take_loop(SnapshotTaker& self);
  // What was retired while a container stood on it, and what nobody has used for long.
  static async::Task<void> collect_loop(SnapshotTaker& self);
  // Its program has closed what it must and waits to be checkpointed.
  void reached_point(const model::ContainerId& id);

 private:
  static async::Task<void> wait_for_quiet(const Pools& pools);
  static async::Task<void> take(SnapshotTaker& self, ContainerPtr container);
  static async::Task<sandbox::Checkpoint> write(SnapshotTaker& self, ContainerPtr container,
                                                std::string images);

  SnapshotTakerParts parts_;
};

}  // namespace thaw::control
