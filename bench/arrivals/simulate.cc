// SPDX-License-Identifier: Apache-2.0
#include "simulate.h"

#include <algorithm>

namespace arrivals {

void walk(const App& app, const std::function<void(double, double, bool)>& gap) {
  double busy_until = app.arrivals.front() + app.execution_s;
  for (std::size_t i = 1; i < app.arrivals.size(); ++i) {
    const double at = app.arrivals[i];
    if (at > busy_until) {
      gap(busy_until, at, true);
    }
    busy_until = std::max(busy_until, at + app.execution_s);
  }
  if (busy_until < seconds_of_week) {
    gap(busy_until, seconds_of_week, false);
  }
}

void count(Outcome& out, const thaw::policy::KeepAlivePlan& plan, double length_s, bool call) {
  const thaw::Duration idle = thaw::from_seconds(length_s);
  out.cold += call && !plan.warm_at(idle) ? 1 : 0;
  for (const thaw::policy::WarmSpan& span : plan.spans) {
    const bool ahead = span.from > thaw::Duration::zero();
    const double from = thaw::to_seconds(span.from) - (ahead ? lead_s : 0);
    const double held = std::min(length_s, thaw::to_seconds(span.until)) - from;
    if (held > 0) {
      out.idle_s += held;
      out.ahead += ahead ? 1 : 0;
    }
  }
}

Outcome simulate(const App& app, Policy& policy) {
  Outcome out;
  out.calls = static_cast<double>(app.arrivals.size());
  out.cold = 1;  // the first
  walk(app, [&](double idle_since, double at, bool call) {
    count(out, policy.plan(idle_since), at - idle_since, call);
    if (call) {
      policy.gap_ended(idle_since, at);
    }
  });
  return out;
}

}  // namespace arrivals
