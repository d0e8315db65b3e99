// SPDX-License-Identifier: Apache-2.0
//
// One app's week under a policy: which calls found no container, and how long a container was held
// that ran nothing. As in the paper an app is one container, which takes all its calls at once. A
// container that is started ahead of a call is held from `lead_s` before its span on.
#pragma once

#include <functional>

#include "generator.h"
#include "thaw/policy/keep_alive.h"

namespace arrivals {

inline constexpr double lead_s = 1;

struct Outcome {
  double calls = 0;
  double cold = 0;
  double idle_s = 0;  // loaded and without a call
  double ahead = 0;   // starts ahead of a call
};

// Calls `gap(idle_since, until, whether a call ended it)` for each time in which nothing runs.
void walk(const App& app, const std::function<void(double, double, bool)>& gap);

// What a gap of `length_s` costs under this plan.
void count(Outcome& out, const thaw::policy::KeepAlivePlan& plan, double length_s, bool call);

// Told when a gap ended; asked what to do in the gap that begins.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual void gap_ended(double idle_since, double at) = 0;
  virtual const thaw::policy::KeepAlivePlan& plan(double idle_since) = 0;
};

Outcome simulate(const App& app, Policy& policy);

}  // namespace arrivals
