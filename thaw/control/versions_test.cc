// SPDX-License-Identifier: Apache-2.0
// Versions of one function side by side: what follows the live one, and what is pinned to another.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"
#include "thaw/policy/share.h"

using namespace thaw;
using namespace thaw::control;

namespace {

struct Versions : FleetHouse {
  void pinned_call(const std::string& name, const std::string& version) {
    call(name, {"payload"}, {}, version);
  }
  std::string version_of(std::size_t which) {
    for (const ContainerView& view : fleet->containers()) {
      if (view.id == worker.launched.at(which)) {
        return view.spec->version;
      }
    }
    return "";
  }
  // The container of that number takes what waits for it.
  void takes(std::size_t which) {
    polls(which);
    passes(1s);
  }
  std::string end_of(const std::string& name) {
    const auto result = result_of(name);
    return !result ? "" : result->failure ? result->failure->message : result->payload.bytes;
  }
};

}  // namespace

TEST_CASE("a pinned call is served by its version, and a publication replaces only who follows") {
  Versions f;
  f.call("fc-follows");
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 1);
  f.takes(0);
  const std::string one = f.publish_beside();
  f.pinned_call("fc-pinned", one);
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 2);
  CHECK(f.version_of(1) == one);
  f.takes(1);
  REQUIRE(f.taken.size() == 2);
  CHECK(f.taken.at(1).call.str() == "fc-pinned");
  // The follower that works on the first version ends after its call; the pinned one stays.
  f.finishes(f.taken.at(0), 0);
  f.takes(0);
  CHECK(f.stops_told == 1);
  f.publish_beside();
  f.finishes(f.taken.at(1), 1);
  f.polls(1);
  f.passes(2s);
  CHECK(f.stops_told == 1);
  f.pinned_call("fc-again", one);
  f.passes(1s);
  CHECK(f.worker.launched.size() == 2);
  REQUIRE(f.taken.size() == 3);
  f.finishes(f.taken.at(2), 1);
  CHECK(f.result_of("fc-again")->version == one);
  CHECK(f.result_of("fc-follows")->version == one);
}

TEST_CASE("a pinned pool starts from zero, ends by its window, and keeps nothing for nobody") {
  Versions f;
  f.spec.scaling.min_containers = 1;
  f.publish();
  f.fleet->refresh(f.spec.id);
  const std::string one = f.publish_beside();
  f.passes(1s);
  const std::size_t kept = f.worker.launched.size();
  f.pinned_call("fc-1", one);
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == kept + 1);
  f.takes(kept);
  REQUIRE(f.taken.size() == 1);
  f.finishes(f.taken.at(0), kept);
  f.polls(kept);
  f.passes(15s);
  CHECK(f.lives(kept));
  f.passes(15s);
  CHECK(f.stops_told == 1);
  f.passes(1min);
  CHECK(!f.lives(kept));
  CHECK(f.worker.launched.size() == kept + 1);
  f.pinned_call("fc-2", one);
  f.passes(1s);
  CHECK(f.worker.launched.size() == kept + 2);
}

TEST_CASE("what a function may have of containers its versions share") {
  Versions f;
  f.spec.scaling.max_containers = 1;
  f.spec.scaling.scaledown_window = 10min;
  f.spec.timeout = 1h;
  f.publish();
  const std::string one = f.publish_beside();
  f.call("fc-1");
  f.passes(1s);
  f.takes(0);
  REQUIRE(f.taken.size() == 1);
  SUBCASE("an idle container of another version makes way once it has had its turn") {
    f.finishes(f.taken.at(0), 0);
    f.polls(0);
    f.passes(100ms);
    f.pinned_call("fc-2", one);
    f.passes(2s);
    CHECK(f.stops_told == 0);
    f.passes(5s);
    CHECK(f.stops_told == 1);
  }
  SUBCASE("one that works does so when it has answered, and takes nothing more") {
    f.pinned_call("fc-2", one);
    f.call("fc-3");
    f.passes(8s);
    CHECK(f.lives(0));
    CHECK(f.stops_told == 0);
    CHECK(f.worker.launched.size() == 1);
    f.finishes(f.taken.at(0), 0);
    f.polls(0);
    f.passes(2s);
    CHECK(f.stops_told == 1);
    CHECK(f.taken.size() == 1);
  }
  REQUIRE(f.worker.launched.size() >= 2);
  CHECK(f.version_of(1) == one);
  f.takes(1);
  REQUIRE(f.taken.size() == 2);
  CHECK(f.taken.at(1).call.str() == "fc-2");
}

TEST_CASE("versions that are never idle take turns where there is room for one") {
  Versions f;
  f.spec.scaling.max_containers = 1;
  f.publish();
  const std::string one = f.publish_beside();
  std::vector<std::string> served;
  for (int round = 0; round < 3; ++round) {
    f.call("fc-live-" + std::to_string(round));
    f.pinned_call("fc-pinned-" + std::to_string(round), one);
  }
  std::size_t asked = 0;
  for (int step = 0; step < 60 && served.size() < 6; ++step) {
    f.passes(2s);
    for (; asked < f.worker.launched.size(); ++asked) {
      f.polls(asked);
    }
    f.passes(1s);
    while (served.size() < f.taken.size()) {
      const queue::LeasedInput input = f.taken.at(served.size());
      served.push_back(input.call.str());
      for (std::size_t i = 0; i < f.worker.launched.size(); ++i) {
        if (f.queue->works_on(f.worker.launched.at(i), input.call)) {
          f.finishes(input, i);
          f.polls(i);
        }
      }
    }
  }
  CHECK(served.size() == 6);
}

TEST_CASE("where a function has all that it may have of the machine, its versions make way too") {
  Versions f;
  f.spec.scaling.scaledown_window = 10min;
  f.publish();
  const std::string one = f.publish_beside();
  for (int i = 0; i < 8; ++i) {
    f.call("fc-live-" + std::to_string(i));
  }
  for (int step = 0; step < 4; ++step) {
    f.passes(2s);
    for (std::size_t i = 0; i < f.worker.launched.size(); ++i) {
      f.polls(i);
    }
  }
  const std::size_t held = f.worker.launched.size();
  REQUIRE(held == policy::most_of_one_function(4));
  f.pinned_call("fc-pinned", one);
  for (std::size_t done = 0, step = 0; step < 20 && f.worker.launched.size() == held; ++step) {
    for (; done < f.taken.size(); ++done) {
      for (std::size_t i = 0; i < held; ++i) {
        if (f.queue->works_on(f.worker.launched.at(i), f.taken.at(done).call)) {
          f.finishes(f.taken.at(done), i);
          f.polls(i);
          break;
        }
      }
    }
    f.passes(2s);
  }
  REQUIRE(f.worker.launched.size() > held);
  CHECK(f.version_of(held) == one);
}

TEST_CASE("what is to be kept starts when another version's container has given its place back") {
  Versions f;
  f.spec.scaling.max_containers = 1;
  f.publish();
  const std::string one = f.publish_beside();
  f.pinned_call("fc-1", one);
  f.passes(1s);
  f.takes(0);
  REQUIRE(f.taken.size() == 1);
  REQUIRE(f.version_of(0) == one);
  f.spec.scaling.min_containers = 1;
  f.publish_beside();
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 1);
  f.finishes(f.taken.at(0), 0);
  f.polls(0);
  f.passes(2min);
  REQUIRE(f.worker.launched.size() == 2);
  CHECK(f.version_of(1) != one);
}

TEST_CASE("who waits for a version that is not kept is told so") {
  Versions f;
  f.pinned_call("fc-1", "v-gone");
  f.passes(1s);
  CHECK(f.worker.launched.empty());
  f.passes(20s);
  CHECK(f.end_of("fc-1").find("v-gone") != std::string::npos);
  CHECK(f.worker.launched.empty());
}

TEST_CASE("a version that is dropped ends its idle containers, and who waits at its port is told") {
  Versions f;
  const std::string one = f.publish_beside();
  const model::Target target(f.spec.id, one);
  f.pinned_call("fc-1", one);
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 1);
  f.takes(0);
  REQUIRE(f.taken.size() == 1);
  CHECK(f.fleet->is_in_use(target));
  f.finishes(f.taken.at(0), 0);
  f.polls(0);
  f.passes(1s);
  CHECK_FALSE(f.fleet->is_in_use(target));
  f.await(f.catalog->versions.erase(catalog::version_id(target).str()));
  f.fleet->let_go({target});
  f.passes(1s);
  CHECK(f.stops_told == 1);
  std::string told;
  const auto wait = [](Versions& house, model::Target at, std::string& out) -> async::Task<void> {
    THAW_CO_TRY(const PortAnswer answer,
                co_await house.fleet->lease_port(std::move(at), monotonic_now() + 60s));
    if (const auto* outcome = std::get_if<model::Outcome>(&answer)) {
      out = outcome->failure->message;
    }
    co_return ok();
  };
  f.tasks.start("waits", wait(f, target, told));
  f.passes(2s);
  CHECK(told.find(one) != std::string::npos);
}

TEST_CASE("a lease of a port tells which version it is of") {
  Versions f;
  const std::string one = f.publish_beside();
  const model::Target target(f.spec.id, one);
  f.pinned_call("fc-1", one);
  f.call("fc-2");
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 2);
  f.takes(0);
  f.takes(1);
  for (const queue::LeasedInput& input : f.taken) {
    const std::size_t which = f.queue->works_on(f.worker.launched.at(0), input.call) ? 0 : 1;
    f.finishes(input, which);
    f.polls(which);
  }
  f.passes(200ms);
  const auto pinned = f.fleet->try_lease_port(target);
  const auto follows = f.fleet->try_lease_port(f.spec.id);
  REQUIRE(pinned);
  REQUIRE(follows);
  CHECK(pinned->version == one);
  CHECK(follows->version == f.spec.version);
  CHECK(f.fleet->is_in_use(target));
  f.fleet->return_port(*pinned);
  f.fleet->return_port(*follows);
}

TEST_CASE("a stopped function ends at all of its versions") {
  Versions f;
  const std::string one = f.publish_beside();
  f.pinned_call("fc-1", one);
  f.call("fc-2");
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 2);
  f.takes(0);
  f.takes(1);
  f.await(f.fleet->stop_functions({f.spec.id}, "the app was stopped"));
  CHECK(f.end_of("fc-1") == "the app was stopped");
  CHECK(f.end_of("fc-2") == "the app was stopped");
  CHECK(f.fleet->containers().empty());
}

TEST_CASE("the minimum is kept by the versions that get a function's requests") {
  Versions f;
  f.spec.scaling.min_containers = 2;
  f.publish();
  const std::string one = f.publish_beside();
  const std::string two = f.spec.version;
  std::size_t polling = 0;
  const auto settle = [&f, &polling] {
    for (int i = 0; i < 6; ++i) {
      f.passes(15s);
      for (; polling < f.worker.launched.size(); ++polling) {
        f.polls(polling);
      }
    }
  };
  const auto kept = [&f](const std::string& version) {
    const auto containers = f.fleet->containers();
    return std::count_if(containers.begin(), containers.end(), [&](const auto& view) {
      return view.spec->version == version && view.status != Status::stopped &&
             view.status != Status::stopping;
    });
  };
  const model::FunctionId id = f.spec.id;
  const std::string live = model::live_alias;
  const auto route = [&](std::vector<model::WeightedVersion> versions) {
    f.await(f.catalog->aliases.put(
        {model::alias_id(id, live), id, f.spec.workspace, live, std::move(versions)}));
    f.fleet->reroute(id);
    settle();
  };
  settle();
  CHECK(kept(one) == 0);
  CHECK(kept(two) == 2);
  // Who followed the live version is not asked any more, and goes by its window.
  route({{one, 90}, {two, 10}});
  CHECK(kept(one) == 1);
  CHECK(kept(two) == 1);
  route({{one, 1}});
  CHECK(kept(one) == 2);
  CHECK(kept(two) == 0);
  f.await(f.catalog->aliases.erase(model::alias_id(id, live).str()));
  f.fleet->reroute(id);
  settle();
  CHECK(kept(one) == 0);
  CHECK(kept(two) == 2);
}
