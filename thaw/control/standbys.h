// SPDX-License-Identifier: Apache-2.0
//
// Standbys: containers that stand by: restored from their version's snapshot ahead of a call, told
// of it, ready by the probe by which all are, and frozen before anybody has had them. A call that
// would start a container of that version gets one instead, and waits for a thaw; another one is
// restored once nobody waits. They are nobody's part of the machine: each gives its place to any
// call, they end when memory is short, when their version is not called for a while or is called no
// more, and when what they would be restored from changes. How many there are is
// policy/standby.h's; this finds out what that wants to know, makes and ends. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thaw/catalog/catalog.h"
#include "thaw/control/launch_plans.h"
#include "thaw/control/pools.h"
#include "thaw/control/snapshots.h"
#include "thaw/control/starts.h"
#include "thaw/policy/standby.h"

namespace thaw::control {

struct StandbyParts {
  Pools& pools;
  catalog::Catalog& catalog;
  worker::Worker& worker;
  LaunchPlans& plans;
  Snapshots& snapshots;
  Starts& starts;
};

struct StandbyOptions {
  policy::StandbyRules rules;
  std::size_t most_containers = 0;  // of the machine
};

struct StandbyCounters {
  std::uint64_t made = 0;    // that were frozen and could be had
  std::uint64_t taken = 0;   // by a call
  std::uint64_t unused = 0;  // that ended as they were to, and nobody had had them
  std::uint64_t failed = 0;  // that did not come about, or died
};

class Standbys {
 public:
  Standbys(StandbyParts parts, StandbyOptions options) : parts_(parts), options_(options) {}

  // For calls that wait: up to `most` that stand by for this version become the pool's. How many.
  std::size_t take(Pool& pool, const model::FunctionSpec& spec, std::size_t most);
  // Often: looks whether some are to be made or to end, when that is due.
  void look(Instant now);
  // What it stands on has changed: the next look is due.
  void look_soon() { look_at_ = Instant{}; }
  // One has ended that nobody has had: as it was to, or for this reason.
  void note_end(const Container& container, const Result<void>& how);
  const StandbyCounters& counters() const { return counters_; }

 private:
  // Of a version.
  struct Known {
    std::uint64_t bytes = 0;  // that one of it holds
    int failures = 0;         // in a row
    Instant none_before{};
    bool is_called = true;  // a pool is its own
  };
  struct Group {
    std::shared_ptr<const model::FunctionSpec> spec;
    policy::StandbyCandidate candidate;
    std::vector<ContainerPtr> standing;
  };

  std::map<std::string, Group> find_groups(Instant now);  // by version
  bool is_still(const Container& container) const;
  void find_those_that_stand_by(std::map<std::string, Group>& groups, Instant now);
  bool is_eligible(const model::FunctionSpec& spec) const;
  // What it was made of: another text when its image or its secrets have changed.
  Result<std::string> made_of(const model::FunctionSpec& spec) const;
  void note_frozen(Container& container);
  void make_one(const std::map<std::string, Group>& groups, const std::vector<std::size_t>& plan,
                Instant now);
  void end(Container& container, StopReason reason, Duration grace);
  void put_off(Known& known, Instant now);

  StandbyParts parts_;
  StandbyOptions options_;
  StandbyCounters counters_;
  std::map<std::string, Known> known_;                 // by version; pruned with each look
  std::map<model::ContainerId, std::string> made_of_;  // of those that there are
  std::map<model::ContainerId, Instant> frozen_;       // and are ready to be had
  Instant look_at_{};
  Instant compared_{};  // with what they were made of
  Instant quiet_since_{};
};

}  // namespace thaw::control
