// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/invariants.h"

#include <doctest/doctest.h>

#include "thaw/control/metering.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/testing/fake_worker.h"

using namespace thaw;
using namespace thaw::control;

namespace {

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result, (result ? std::string() : result.error().to_string()));
  return std::move(*result);
}

struct House {
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<Measurements> measurements;
  worker::testing::FakeWorker worker;
  std::optional<Metering> metering;
  std::unique_ptr<Pools> pools;

  House() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = queue::migrations();
    database = must(store::Database::open(loop, std::move(options)));
    queue = must(queue::CallQueue::open(loop, *database, {}));
    measurements = must(Measurements::open(nullptr));
    metering.emplace(MeteringParts{*queue, nullptr, [] {}});
    pools = std::make_unique<Pools>(PoolsParts{loop, worker, *measurements, *metering}, Graces{},
                                    FreezerOptions{});
  }
  ~House() { database->close(); }

  ContainerPtr idle_container() {
    model::FunctionSpec spec;
    spec.id = model::FunctionId("fu-1");
    const ContainerPtr container =
        pools->add(spec.id, std::make_shared<model::FunctionSpec>(spec), meter::Cause::call);
    container->start.reached_ready = true;
    pools->update(*container);
    return container;
  }
  std::size_t broken() const { return check_invariants(*pools, *queue).size(); }
};

}  // namespace

TEST_CASE("what does not fit together is told, and nothing else is") {
  House house;
  const ContainerPtr container = house.idle_container();
  Pool& pool = house.pools->of(container->spec->id);
  CHECK(house.broken() == 0);
  pool.containers.erase(container->id);
  CHECK(house.broken() == 1);  // it is in no pool
  pool.containers = {container->id, model::ContainerId("ta-gone")};
  CHECK(house.broken() == 1);
  pool.containers = {container->id};
  container->work.inputs[model::InputId("in-1")] = {};
  CHECK(house.broken() == 1);  // it works, and still counts as warm
  house.pools->update(*container);
  CHECK(house.broken() == 0);
  container->work.proxied = 2;
  CHECK(house.broken() == 1);  // it has one slot
  container->work.proxied = 0;
  container->ending.reason = StopReason::user;
  CHECK(house.broken() == 1);  // nobody told Pools
  house.pools->ended(*container);
  CHECK(house.broken() == 0);
}
