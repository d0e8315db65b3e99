// SPDX-License-Identifier: Apache-2.0
//
// Functions as people see them: what each has of containers, and what was learnt of it.
#pragma once

#include <memory>
#include <vector>

#include "thaw/control/keep_alive.h"

namespace thaw::control {

// A function, or a version of it that is called by its name, for people: `thaw functions`.
struct FunctionView {
  model::Target target;
  std::shared_ptr<const model::FunctionSpec> spec;
  std::size_t containers = 0;
  Duration idle{};  // since its last call ended; 0: none yet
  policy::KeepAlivePlan plan;
  Duration start_time{};  // what a start takes, 0: unknown
  Duration call_time{};
  std::vector<model::Level> levels;  // that the last start tried, in order
  policy::LevelRecords records;
};

struct FunctionViewParts {
  const Pools& pools;
  const catalog::Catalog& catalog;
  const Measurements& measurements;
  const KeepAlive& keep_alive;
};

// Those that were in use since the server started.
std::vector<FunctionView> view_functions(const FunctionViewParts& parts);

}  // namespace thaw::control
