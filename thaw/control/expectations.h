// SPDX-License-Identifier: Apache-2.0
//
// Expectations: what is made for functions that nobody has called yet: a template of their image,
// once what was published has been quiet for a moment. Who is called meanwhile goes first. Loop
// thread only.
#pragma once

#include <deque>

#include "thaw/async/event.h"
#include "thaw/control/launch_plans.h"

namespace thaw::control {

struct ExpectationParts {
  const Pools& pools;
  catalog::Catalog& catalog;
  Runtime& runtime;
  worker::Worker& worker;
  LaunchPlans& plans;
};

class Expectations {
 public:
  Expectations(ExpectationParts parts, Duration pause) : parts_(parts), pause_(pause) {}

  void note_published(const model::FunctionId& function);
  // Runs until it is cancelled.
  static async::Task<void> loop(Expectations& self);

 private:
  static async::Task<void> wait_for_demand_to_end(const Pools& pools);

  ExpectationParts parts_;
  Duration pause_;
  std::deque<model::FunctionId> published_;  // lately
  async::Event publishing_;
};

}  // namespace thaw::control
