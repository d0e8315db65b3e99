// SPDX-License-Identifier: Apache-2.0
//
// SnapshotTaker: takes the memory snapshots that Snapshots asks for, one at a time: a container in
// the background is stopped at its snapshot point and written to disk. It belongs to no pool, gets
// no inputs, and nobody waits for it: it takes a place of the machine only where one is free, and
// gives it back to any call that has none. A plain server has no such point: it is written once it
// is ready and quiet, and others start from that only if a trial shows that it works and is clearly
// faster than to boot. Loop thread only.
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
  std::size_t most_containers = 0;  // of the machine
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
  // One try, and what was learnt in it.
  struct Attempt {
    ContainerPtr container;
    Duration booted{};      // from launch to ready; of a server
    bool gave_way = false;  // to a call, between two containers
    enum class Gain { some, none } gain = Gain::some;
  };
  static async::Task<void> wait_for_quiet(SnapshotTaker& self, Snapshots::Spec spec);
  bool has_room() const;
  // It is live, or kept beside the live one.
  bool is_called(const model::FunctionSpec& spec) const;
  static async::Task<void> take(SnapshotTaker& self, Attempt& attempt);
  static async::Task<void> until_point(ContainerPtr container);
  static async::Task<void> until_ready(Attempt& attempt);
  static async::Task<sandbox::Checkpoint> write(SnapshotTaker& self, Attempt& attempt);
  static async::Task<void> try_it(SnapshotTaker& self, Attempt& attempt,
                                  snapshot::SnapshotPtr written);
  void tell(const Attempt& attempt, const Error& error);

  SnapshotTakerParts parts_;
};

}  // namespace thaw::control
