// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/scale.h"

#include <doctest/doctest.h>

#include "thaw/policy/backoff.h"

using namespace thaw;
using policy::plan_scale;
using policy::PoolView;

namespace {

PoolView at(Instant now) {
  PoolView view;
  view.now = now;
  view.capacity = 100;
  return view;
}

const Instant noon{std::chrono::hours(12)};

}  // namespace

TEST_CASE("the first call of an idle function starts one container") {
  PoolView view = at(noon);
  view.waiting = 1;
  CHECK(plan_scale({}, view).start == 1);
  view.starting = 1;
  CHECK(plan_scale({}, view).start == 0);
}

TEST_CASE("concurrent inputs share a container") {
  model::Scaling scaling;
  scaling.max_concurrent_inputs = 16;
  PoolView view = at(noon);
  view.waiting = 33;
  CHECK(plan_scale(scaling, view).start == 3);
}

TEST_CASE("a queue of short calls does not start a container per call") {
  PoolView view = at(noon);
  view.waiting = 1000;
  view.running = 2;
  view.call_time = 1ms;
  view.start_time = 500ms;
  CHECK(plan_scale({}, view).start == 0);
  view.call_time = 10s;
  CHECK(plan_scale({}, view).start == 100);
}

TEST_CASE("a running container whose calls are not known yet gets a moment before another starts") {
  PoolView view = at(noon);
  view.waiting = 1;
  view.running = 1;
  CHECK(plan_scale({}, view).start == 0);
  view.waited = 60ms;
  CHECK(plan_scale({}, view).start == 1);
}

TEST_CASE("the limits of the user and of the machine hold") {
  model::Scaling scaling;
  scaling.max_containers = 3;
  PoolView view = at(noon);
  view.waiting = 10;
  view.starting = 1;
  CHECK(plan_scale(scaling, view).start == 2);
  view.capacity = 1;
  CHECK(plan_scale(scaling, view).start == 1);
}

TEST_CASE("min_containers is kept without any call") {
  model::Scaling scaling;
  scaling.min_containers = 2;
  PoolView view = at(noon);
  CHECK(plan_scale(scaling, view).start == 2);
  view.running = 2;
  view.idle = {{noon - 1h}, {noon - 1h}};
  CHECK(plan_scale(scaling, view).stop_idle == 0);
}

TEST_CASE("a container that was idle for its window ends") {
  PoolView view = at(noon);
  view.running = 2;
  view.idle = {{noon - 61s}, {noon - 10s}};
  CHECK(plan_scale({}, view).stop_idle == 1);
  view.waiting = 1;
  CHECK(plan_scale({}, view).stop_idle == 0);
}

TEST_CASE("a stopped function keeps nothing idle") {
  model::Scaling scaling;
  scaling.min_containers = 1;
  PoolView view = at(noon);
  view.wanted = false;
  view.running = 1;
  view.waiting = 5;
  view.idle = {{noon}};
  CHECK(plan_scale(scaling, view).stop_idle == 1);
  CHECK(plan_scale(scaling, view).start == 0);
}

TEST_CASE("nothing starts during a back-off") {
  PoolView view = at(noon);
  view.waiting = 1;
  view.no_start_before = noon + 1s;
  CHECK(plan_scale({}, view).start == 0);
  CHECK(policy::backoff(1, 1s, 60s) == 1s);
  CHECK(policy::backoff(4, 1s, 60s) == 8s);
  CHECK(policy::backoff(100, 1s, 60s) == 60s);
}
