// SPDX-License-Identifier: Apache-2.0
//
// Scaler: how many containers each target has. Demand (inputs in the queue, waiting web requests)
// wakes those that wait for it; each function that something changed for is looked at again, as
// policy::plan_scale says. What all of them want to start is granted together, so that none takes
// what another is to have; where there is no room, idle containers of others give way. The versions
// of a function that are called side by side share what the function may have. Loop thread only.
#pragma once

#include <memory>
#include <vector>

#include "thaw/catalog/catalog.h"
#include "thaw/control/keep_alive.h"
#include "thaw/control/pools.h"
#include "thaw/control/processor_load.h"
#include "thaw/control/standbys.h"
#include "thaw/control/starts.h"
#include "thaw/policy/scale.h"
#include "thaw/policy/share.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

struct ScalerParts {
  Pools& pools;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  worker::Worker& worker;
  ProcessorLoad& load;
  KeepAlive& keep_alive;
  Starts& starts;
  Standbys& standbys;
};

struct ScalerOptions {
  std::size_t most = 0;           // containers
  std::size_t most_starting = 0;  // 0: four for each processor, at least eight
};

class Scaler {
 public:
  Scaler(ScalerParts parts, ScalerOptions options) : parts_(parts), options_(options) {}

  // There may be inputs of this target to do.
  void demand(const model::Target& target);
  // Looks whenever somebody wants it; runs until it is cancelled.
  static async::Task<void> loop(Scaler& self);

 private:
  bool is_for_a_version_that_is_gone(const Pool& pool) const;
  void evaluate(Pool& pool);
  // What evaluate() found, and what all of it together may have.
  struct Wanted {
    model::Target target;
    std::shared_ptr<const model::FunctionSpec> spec;
    policy::StartRequest request;
  };
  std::size_t take_standbys(Pool& pool, const model::FunctionSpec& spec,
                            const policy::ScalePlan& plan);
  void want_starts(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec,
                   const policy::ScalePlan& plan);
  void grant_wanted();
  // What the function of this pool, at this version, may have beside what it has.
  std::size_t room_in_function(const Pool& pool, const model::FunctionSpec& spec) const;
  void make_way_for(const Pool& pool, const policy::PoolView& view);
  std::size_t end_background(std::size_t most);
  void make_room_for(const Pool& pool, const model::FunctionSpec& spec, std::size_t count);
  bool has_better_start_soon(Pool& pool, const policy::PoolView& view);

  ScalerParts parts_;
  ScalerOptions options_;
  std::vector<Wanted> wanted_;
};

}  // namespace thaw::control
