// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshots.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/testing/fake_worker.h"

using namespace thaw;
using namespace thaw::control;
using model::Level;
namespace fs = std::filesystem;

namespace {

// A store on disk, a function and the plan of one of its containers.
struct House {
  House() {
    snapshot::SnapshotLimits limits;
    limits.free_bytes = 0;
    auto opened = snapshot::SnapshotStore::open(pool, temporary / "snapshots", "m", limits);
    REQUIRE(opened);
    store = std::move(*opened);
    snapshots = std::make_unique<Snapshots>(store.get(), worker);
    spec.id = model::FunctionId("fu-1");
    spec.workspace = model::WorkspaceId("ws-1");
    spec.version = "v1";
    spec.definition = "definition";
  }

  Snapshots::Spec shared() const { return std::make_shared<const model::FunctionSpec>(spec); }
  worker::LaunchPlan plan(const std::string& container = "ta-1") const {
    worker::LaunchPlan made;
    made.id = model::ContainerId(container);
    made.layers = {"layer:one"};
    made.binds = {{"volume:data", "/data"}};
    made.env = {"PATH=/bin", "CONTAINER_ID=" + container, "PASSWORD=secret"};
    made.argv = {"python", "-m", "main"};
    made.snapshot_point = worker::SnapshotPoint{61, "who.json", ""};
    return made;
  }
  static constexpr const char* here = "layer:one\nvolume:data\n";  // as the fake worker says it
  std::string key() const { return Snapshots::key_of(spec, plan(), here).digest; }
  template <class T>
  Result<T> run(async::Task<T> task) {
    return loop.run_task(std::move(task));
  }
  snapshot::SnapshotPtr take() {
    const auto staging = store->begin(1);
    REQUIRE(staging);
    std::ofstream(*staging + "/images/pages-1.img") << "pages";
    auto taken = run(store->commit(*staging, Snapshots::key_of(spec, plan(), here), {}));
    REQUIRE(taken);
    return *taken;
  }
  // Whether a snapshot of the function would be taken now.
  bool wants_one() {
    snapshots->started(shared(), key());
    bool is_wanted = false;
    const auto ask = [](Snapshots& asked, bool& answer) -> async::Task<void> {
      THAW_CO_TRY(const Snapshots::Spec next, co_await asked.next());
      answer = next != nullptr;
      co_return ok();
    };
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): outlives its run
    const auto wait = [&ask](House& self, bool& answer) -> async::Task<void> {
      async::TaskGroup group(self.loop);
      group.start("next", ask(*self.snapshots, answer));
      THAW_CO_TRY([[maybe_unused]] const bool ended, co_await group.join(monotonic_now() + 2ms));
      co_return co_await group.stop();
    };
    CHECK(run(wait(*this, is_wanted)));
    return is_wanted;
  }
  worker::LaunchPlan offered() {
    worker::LaunchPlan made = plan("ta-9");
    const auto digest = run(snapshots->offer(shared(), made));
    REQUIRE(digest);
    CHECK(digest->key_digest == key());
    CHECK((digest->snapshot == nullptr) == made.restore.empty());
    return made;
  }

  store::TempFolder temporary;
  async::Loop loop;
  async::Pool pool{1};
  std::unique_ptr<snapshot::SnapshotStore> store;
  worker::testing::FakeWorker worker;
  std::unique_ptr<Snapshots> snapshots;
  model::FunctionSpec spec;
};

bool tries_to_restore(const worker::LaunchPlan& plan) {
  return std::count(plan.levels.begin(), plan.levels.end(), Level::restored) == 1;
}

}  // namespace

TEST_CASE(
    "a key is the same for every container of a version, and changes with all it is made of") {
  House house;
  const std::string key = house.key();
  CHECK(Snapshots::key_of(house.spec, house.plan("ta-2"), House::here).digest == key);

  using Plan = worker::LaunchPlan;
  const std::vector<std::function<void(Plan&)>> changes = {
      [](Plan& plan) { plan.layers.push_back("layer:two"); },
      [](Plan& plan) { plan.layers = {"layer:two"}; },
      [](Plan& plan) { plan.layers.clear(); },
      [](Plan& plan) { plan.binds[0].source = "volume:other"; },
      [](Plan& plan) { plan.binds.clear(); },
      [](Plan& plan) { plan.binds[0].target = "/other"; },
      [](Plan& plan) { plan.env[2] = "PASSWORD=other"; },
      [](Plan& plan) { plan.env.emplace_back("MORE=1"); },
      [](Plan& plan) { plan.env.pop_back(); },
      [](Plan& plan) { plan.argv.emplace_back("more"); },
      [](Plan& plan) { plan.cwd = "/srv"; },
      [](Plan& plan) { plan.user = "1000"; },
      [](Plan& plan) { plan.limits.memory_bytes = 1 << 30; },
      [](Plan& plan) { plan.limits.pids = 7; },
      [](Plan& plan) { plan.network = sandbox::SandboxSpec::Network::none; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    worker::LaunchPlan plan = house.plan();
    changes[i](plan);
    CHECK(Snapshots::key_of(house.spec, plan, House::here).digest != key);
  }
  const std::vector<std::function<void(model::FunctionSpec&)>> versions = {
      [](auto& spec) { spec.version = "v2"; },
      [](auto& spec) { spec.definition = "other"; },
      [](auto& spec) { spec.parameters = "size=4"; },
      [](auto& spec) { spec.id = model::FunctionId("fu-2"); },
  };
  for (std::size_t i = 0; i < versions.size(); ++i) {
    CAPTURE(i);
    model::FunctionSpec spec = house.spec;
    versions[i](spec);
    CHECK(Snapshots::key_of(spec, house.plan(), House::here).digest != key);
  }
}

TEST_CASE("what the worker has under the same names may be other folders") {
  House house;
  CHECK(Snapshots::key_of(house.spec, house.plan(), "made anew").digest != house.key());
}

TEST_CASE("two fields of a key cannot be mistaken for one") {
  House house;
  worker::LaunchPlan one = house.plan();
  worker::LaunchPlan other = house.plan();
  one.cwd = "/srv";
  one.user = "";
  other.cwd = "";
  other.user = "/srv";
  CHECK(Snapshots::key_of(house.spec, one, House::here).digest !=
        Snapshots::key_of(house.spec, other, House::here).digest);
}

TEST_CASE("a good snapshot is offered; otherwise the plan says why there is none") {
  House house;
  CHECK(house.offered().not_restored->reason == "no_snapshot");
  house.take();
  const worker::LaunchPlan good = house.offered();
  CHECK(!good.restore.empty());
  CHECK(tries_to_restore(good));
  CHECK(!good.not_restored);

  house.spec.version = "v2";
  const worker::LaunchPlan changed = house.offered();
  CHECK(changed.restore.empty());
  CHECK(!tries_to_restore(changed));
  CHECK(changed.not_restored->reason == "key_changed");

  const snapshot::SnapshotPtr damaged = house.take();
  fs::resize_file(damaged->images() + "/pages-1.img", 1);
  CHECK(house.offered().not_restored->reason == "snapshot_damaged");
  CHECK(house.offered().not_restored->reason == "no_snapshot");
}

TEST_CASE("a function of another workspace is not offered the snapshot, whatever its names") {
  House house;
  house.take();
  house.spec.workspace = model::WorkspaceId("ws-2");
  CHECK(house.offered().restore.empty());
}

TEST_CASE("a program without a snapshot point, and a server without a store, restore nothing") {
  House house;
  worker::LaunchPlan plan = house.plan();
  plan.snapshot_point.reset();
  CHECK(house.run(house.snapshots->offer(house.shared(), plan)).value().key_digest.empty());
  CHECK(!tries_to_restore(plan));

  Snapshots off(nullptr, house.worker);
  plan = house.plan();
  CHECK(house.run(off.offer(house.shared(), plan)).value().key_digest.empty());
  CHECK(!tries_to_restore(plan));
  CHECK(!plan.snapshot_point);
  off.started(house.shared(), "key");  // asks for nothing
  CHECK(house.run(off.forget(house.spec.id)));
}

TEST_CASE("a version that started is wanted once, and not when it has a snapshot") {
  House house;
  CHECK(house.wants_one());
  CHECK(!house.wants_one());  // it is being taken
  house.snapshots->taken(house.shared());
  house.take();
  CHECK(!house.wants_one());
  house.spec.version = "v2";
  CHECK(house.wants_one());
}

TEST_CASE("a version that refuses is left alone after a few tries, a new one is tried again") {
  House house;
  for (int i = 0; i < 3; ++i) {
    CHECK(house.wants_one());
    house.snapshots->refused(house.shared());
  }
  CHECK(!house.wants_one());
  CHECK(house.snapshots->counters().refused == 3);
  house.spec.version = "v2";
  CHECK(house.wants_one());
}

TEST_CASE("snapshots that nobody could start from are not taken for ever") {
  House house;
  const auto take_in_vain = [&] {
    const bool wanted = house.wants_one();
    if (wanted) {
      const snapshot::SnapshotPtr taken = house.take();
      house.snapshots->taken(house.shared());
      house.snapshots->retire(taken, "it hangs");
    }
    return wanted;
  };
  CHECK(take_in_vain());
  CHECK(take_in_vain());
  REQUIRE(house.wants_one());
  const snapshot::SnapshotPtr good = house.take();
  house.snapshots->taken(house.shared());
  house.snapshots->succeeded(good);  // counts from the beginning again
  house.snapshots->retire(good, "damaged");
  CHECK(take_in_vain());
  CHECK(take_in_vain());
  CHECK(take_in_vain());
  CHECK(!take_in_vain());
}

TEST_CASE("failures in a row retire what was offered") {
  House house;
  const snapshot::SnapshotPtr taken = house.take();
  for (int i = 0; i < 3; ++i) {
    CHECK(!house.offered().restore.empty());
    house.snapshots->failed(taken);
  }
  CHECK(house.offered().not_restored->reason == "no_snapshot");
  house.snapshots->failed(nullptr);  // nothing was offered
  house.snapshots->succeeded(nullptr);
}

TEST_CASE("with a function its snapshot goes, from disk too") {
  House house;
  const std::string folder = house.take()->folder;
  CHECK(house.run(house.snapshots->forget(house.spec.id)));
  CHECK(!fs::exists(folder));
  CHECK(house.offered().not_restored->reason == "no_snapshot");
  CHECK(house.run(house.snapshots->forget(house.spec.id)));  // a second time is no matter
}

TEST_CASE("a workspace with many functions does not keep another one waiting for a snapshot") {
  House house;
  const auto want = [&house](const std::string& workspace, int number) {
    house.spec.workspace = model::WorkspaceId(workspace);
    house.spec.id = model::FunctionId("fu-" + workspace + std::to_string(number));
    house.snapshots->started(house.shared(), "key");
  };
  for (int i = 0; i < 2000; ++i) {
    want("ws-greedy", i);
  }
  want("ws-other", 1);
  want("ws-other", 2);
  std::vector<std::string> order;
  for (int i = 0; i < 5; ++i) {
    const auto next = house.run(house.snapshots->next());
    REQUIRE(next);
    order.push_back((*next)->workspace.str());
  }
  CHECK(order ==
        std::vector<std::string>{"ws-greedy", "ws-other", "ws-greedy", "ws-other", "ws-greedy"});
}

TEST_CASE("what another try would find is known: there is none until the function changes") {
  House house;
  CHECK(house.wants_one());
  house.snapshots->settled(house.shared());
  CHECK(!house.wants_one());
  house.spec.version = "v2";
  CHECK(house.wants_one());
}

TEST_CASE("versions that are called in turn do not make each other's tries forgotten") {
  House house;
  for (int i = 0; i < 3; ++i) {
    for (const char* version : {"v1", "v2"}) {
      house.spec.version = version;
      CHECK(house.wants_one());
      house.snapshots->refused(house.shared());
    }
  }
  // Nor does one that is good at last.
  house.spec.version = "v2";
  const snapshot::SnapshotPtr good = house.take();
  house.snapshots->succeeded(good);
  house.store->retire(*good, "as asked");
  CHECK(house.wants_one());
  house.snapshots->refused(house.shared());
  house.spec.version = "v1";
  CHECK(!house.wants_one());
}
