// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/scale.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

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

TEST_CASE("of short calls one more container is tried than seems to fit, up to the processors") {
  PoolView view = at(noon);
  view.waiting = 1000;
  view.waited = 1s;
  view.running = 1;
  view.call_time = 1ms;
  view.start_time = 15ms;
  view.processor = {.cores = 0.9,
                    .even = 2,
                    .demand = 0.7,
                    .starting = 0.7,
                    .fresh = 0.9,
                    .start_price = 10ms,
                    .is_pressed = true};
  CHECK(plan_scale({}, view).start == 1);
  view.processor.even = 1;  // another function has its part
  CHECK(plan_scale({}, view).start == 0);
  view.processor.even = 2;
  view.running = 2;
  CHECK(plan_scale({}, view).start == 0);
  view.running = 1;
  view.processor.is_useless = true;
  CHECK(plan_scale({}, view).start == 0);
  view.processor.is_useless = false;
  view.call_time = 100ms;
  CHECK(plan_scale({}, view).start == 0);
}

TEST_CASE("while far cheaper starts are on their way one container is enough") {
  PoolView view = at(noon);
  view.better_soon = true;
  view.waiting = 200;
  view.waited = 1s;
  CHECK(plan_scale({}, view).start == 1);
  view.starting = 1;
  CHECK(plan_scale({}, view).start == 0);
  view.starting = 0;
  view.running = 1;
  CHECK(plan_scale({}, view).start == 0);
  model::Scaling kept;
  kept.min_containers = 3;
  CHECK(plan_scale(kept, view).start == 2);
  view.better_soon = false;
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

TEST_CASE("the keep-alive policy holds the last container, the others go by the window") {
  PoolView view = at(noon);
  view.running = 3;
  view.idle = {{noon - 2h}, {noon - 90s}, {noon - 61s}};
  view.last = PoolView::Last::keep;
  CHECK(plan_scale({}, view).stop_idle == 2);
  view.last = PoolView::Last::let_go;
  CHECK(plan_scale({}, view).stop_idle == 3);
  view.last = PoolView::Last::by_window;
  CHECK(plan_scale({}, view).stop_idle == 3);
  view.idle = {{noon - 1s}};
  view.running = 1;
  view.last = PoolView::Last::let_go;
  CHECK(plan_scale({}, view).stop_idle == 1);
}

TEST_CASE("a container is started ahead of a call, once, within all limits") {
  PoolView view = at(noon);
  view.last = PoolView::Last::start;
  CHECK(plan_scale({}, view).start == 1);
  view.starting = 1;
  CHECK(plan_scale({}, view).start == 0);
  view.starting = 0;
  view.running = 1;
  view.idle = {{noon - 2h}};
  CHECK(plan_scale({}, view).start == 0);
  CHECK(plan_scale({}, view).stop_idle == 0);
  view = at(noon);
  view.last = PoolView::Last::start;
  view.no_start_before = noon + 1s;
  CHECK(plan_scale({}, view).start == 0);
  view.no_start_before = {};
  view.wanted = false;
  CHECK(plan_scale({}, view).start == 0);
}

TEST_CASE("fast starts wait less for a running container, and a burst starts what helps") {
  PoolView view = at(noon);
  view.waiting = 1;
  view.running = 1;
  view.start_time = 30ms;
  view.waited = 31ms;
  CHECK(plan_scale({}, view).start == 1);
  // Calls of 100 ms: with starts of 400 ms a queue of 50 wants 13 containers, with 30 ms all 50.
  view = at(noon);
  view.waiting = 50;
  view.running = 1;
  view.call_time = 100ms;
  view.start_time = 400ms;
  CHECK(plan_scale({}, view).start == 12);
  view.start_time = 30ms;
  CHECK(plan_scale({}, view).start == 50);
}

TEST_CASE("whatever is seen: min and max hold, and no more is stopped than is idle") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 5000; ++round) {
    model::Scaling scaling;
    scaling.min_containers = static_cast<int>(random() % 4);
    scaling.max_containers = static_cast<int>(random() % 8);
    if (scaling.max_containers > 0) {
      scaling.max_containers = std::max(scaling.max_containers, scaling.min_containers);
    }
    scaling.buffer_containers = static_cast<int>(random() % 3);
    scaling.max_concurrent_inputs = static_cast<int>(1 + random() % 5);
    PoolView view = at(noon);
    view.waiting = random() % 3 == 0 ? random() % 40 : 0;
    view.waited = Duration(random() % 100'000'000);
    view.running = random() % 6;
    view.starting = random() % 3;
    for (std::size_t i = 0; i < view.running && random() % 3 != 0; ++i) {
      view.idle.push_back({noon - Duration(random() % 200'000'000'000)});
    }
    view.free_slots = view.idle.size();
    view.call_time = Duration(random() % 2'000'000'000);
    view.start_time = Duration(random() % 2'000'000'000);
    view.capacity = random() % 20;
    view.last = static_cast<PoolView::Last>(random() % 4);
    const auto plan = plan_scale(scaling, view);
    const std::size_t have = view.running + view.starting;
    CHECK(plan.start <= view.capacity);
    CHECK(plan.stop_idle <= view.idle.size());
    const auto most = static_cast<std::size_t>(scaling.max_containers);
    CHECK((most == 0 || plan.start == 0 || have + plan.start <= most));
    const auto least = static_cast<std::size_t>(scaling.min_containers);
    CHECK((plan.stop_idle == 0 || have - plan.stop_idle >= least));
  }
}
