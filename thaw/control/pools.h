// SPDX-License-Identifier: Apache-2.0
//
// Pools: every container of this server and the pools that they stand in, one for each target.
// Every change of what a container is at a moment goes through here: it comes, it is thawed before
// it is given work, it is told to end, it has ended, it is gone. Its status follows from that and
// from its work; nobody else writes it. The other parts of control share this one object and reach
// each other through it alone. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/control/container.h"
#include "thaw/control/freezer.h"
#include "thaw/control/looks.h"
#include "thaw/control/measurements.h"
#include "thaw/control/pool.h"
#include "thaw/meter/records.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

using ContainerPtr = std::shared_ptr<Container>;
using PoolPtr = std::shared_ptr<Pool>;

class Metering;  // metering.h

struct PoolsParts {
  async::Loop& loop;
  worker::Worker& worker;
  Measurements& measurements;
  Metering& metering;
};

// How long a container that is to end may take over it.
struct Graces {
  Duration stop = 30s;      // exit hooks of one that ends by itself
  Duration interrupt = 5s;  // one that is told to end while it works
};

class Pools {
 public:
  Pools(PoolsParts parts, Graces graces, FreezerOptions freezer);

  // Begins to freeze what is idle.
  void start() { freezer_.start(); }
  async::Task<void> stop_freezing() { return freezer_.stop(); }

  // --- who is there ---
  const std::unordered_map<model::ContainerId, ContainerPtr>& containers() const {
    return containers_;
  }
  const std::map<model::Target, PoolPtr>& all() const { return pools_; }
  ContainerPtr find(const model::ContainerId& id) const;
  // not_found: it has ended.
  Result<ContainerPtr> get(const model::ContainerId& id) const;
  bool has(const model::Target& target) const { return pools_.contains(target); }
  PoolPtr find_pool(const model::Target& target) const;
  // Makes it, if there is none. Tasks that wait hold it: its function may be stopped meanwhile.
  PoolPtr shared(const model::Target& target);
  Pool& of(const model::Target& target) { return *shared(target); }
  // That which follows the live version, if there is one, and those of pinned versions.
  std::vector<PoolPtr> of_function(const model::FunctionId& function) const;
  // Containers of a function, of whichever version.
  std::size_t count(const model::FunctionId& function) const;
  // Those of them that run this version.
  std::size_t count(const model::FunctionId& function, const std::string& version) const;
  // Of the containers that the machine may have: those that are there or are being started, in the
  // background too.
  std::size_t places_taken() const;
  // More containers are starting than the machine can start at their own pace.
  bool is_crowded() const;

  // --- what becomes of a container ---
  // A new one, in the pool of its target.
  ContainerPtr add(const model::Target& target, std::shared_ptr<const model::FunctionSpec> spec,
                   meter::Cause cause);
  // In the background, in no pool. It gives way to any call that waits for its place: who takes it
  // hears of that by its end (StopReason::made_room).
  ContainerPtr add_for_snapshot(std::shared_ptr<const model::FunctionSpec> spec);
  // In the background too; until adopt().
  ContainerPtr add_standby(std::shared_ptr<const model::FunctionSpec> spec);
  // One that has stood by becomes one of the pool of `target`.
  void adopt(const model::Target& target, Container& container);
  // Its status follows from its work and from its end.
  void update(Container& container);
  // Before the container is given work: what it is at this moment.
  model::Level awaken(Container& container);
  model::Level level_of(const Container& container) const;
  // The poll of a container that asks for inputs answers `stop`; one that works finishes first, or
  // is interrupted by the caller. Its kill_at bounds both.
  void stop(Container& container, StopReason reason, Duration grace);
  // Its program has ended: nothing is told to it any more.
  void ended(Container& container);
  // A standby's life begins when it is launched.
  void begin_life(Container& container);
  // Nothing of it is left.
  void remove(const Container& container);
  void forget_pools(const model::FunctionId& function);
  // Those without containers and waiters for which this holds.
  void forget_unused(const std::function<bool(const model::Target&)>& is_gone);
  // Waits until a container is gone.
  async::Task<bool> wait_for_end(Instant until) { return gone_.wait(until); }
  void tell_end() { gone_.notify_all(); }

  // --- what is to be done next ---
  Looks& looks() { return looks_; }
  // Room has come, or a place to start in: who waits is looked at again.
  void look_at_who_waits();
  // From now on nothing is started, and nobody waits for a container.
  void shut_down();
  bool shutting_down() const { return shutting_down_; }
  const Graces& graces() const { return graces_; }
  const FreezerCounters& freezing() const { return freezer_.counters(); }
  Metering& metering() { return parts_.metering; }

 private:
  ContainerPtr make(std::shared_ptr<const model::FunctionSpec> spec, meter::Cause cause);
  void enter(Container& container);

  PoolsParts parts_;
  Graces graces_;
  // Shared with tasks that wait in a pool while its function is stopped.
  std::map<model::Target, PoolPtr> pools_;
  std::unordered_map<model::ContainerId, ContainerPtr> containers_;
  Looks looks_;
  async::Event gone_;
  bool shutting_down_ = false;
  Freezer freezer_;
};

}  // namespace thaw::control
