// SPDX-License-Identifier: Apache-2.0
//
// KeepAlive: how long the last container of a function is kept, and when one is started ahead of a
// call; of those that follow the live version. It tells policy/ when calls came and ended, and says
// what becomes of the last container as of now. Starts and stops nothing itself. Loop thread only.
#pragma once

#include "thaw/catalog/catalog.h"
#include "thaw/control/fleet_options.h"
#include "thaw/control/measurements.h"
#include "thaw/control/pools.h"
#include "thaw/policy/scale.h"

namespace thaw::control {

struct KeepAliveParts {
  Pools& pools;
  catalog::Catalog& catalog;
  Measurements& measurements;
  FleetCounters& counters;
};

struct KeepAliveOptions {
  policy::KeepAliveSettings costs;
  Duration shortest_window{};
};

class KeepAlive {
 public:
  KeepAlive(KeepAliveParts parts, KeepAliveOptions options) : parts_(parts), options_(options) {}

  // A call came: if nothing ran and nobody waited, a gap has ended.
  void note_arrival(Pool& pool);
  // A call ended; called for every one, so it does no more than remember it.
  void note_end(Pool& pool);
  // After a restart the gaps that were open go on.
  void resume_gaps();
  // What a start would take now; zero: nothing is known.
  Duration start_time_of(const Pool& pool, const model::FunctionSpec& live) const;
  // What becomes of the last container, as of now; `pool.look_at` is when that may change.
  policy::PoolView::Last last_of(Pool& pool, const model::FunctionSpec& live,
                                 const policy::PoolView& view);
  // Whether an idle container has been idle for longer than its function's window.
  bool is_over_its_window(const Container& container, Instant now) const;

 private:
  void plan_gap(Pool& pool, const model::FunctionSpec& live);

  KeepAliveParts parts_;
  KeepAliveOptions options_;
};

}  // namespace thaw::control
