// SPDX-License-Identifier: Apache-2.0
//
// Containers with buckets, as a worker launches and removes them.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>

#include "thaw/logs/log_hub.h"
#include "thaw/net/server.h"
#include "thaw/sandbox/testing/fixture.h"
#include "thaw/store/database.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/buckets.h"
#include "thaw/worker/kit.h"
#include "thaw/worker/local_worker.h"
#include "thaw/worker/sources.h"
#include "thaw/worker/templates.h"
#include "thaw/worker/testing/fake_store.h"

using namespace thaw;
using namespace thaw::worker;

namespace {

bool has_no_helper() {
  if (sandbox::testing::skipped()) {
    return true;
  }
  if (!std::filesystem::exists("/usr/bin/rclone")) {
    std::puts("skipped: buckets need rclone");
    return true;
  }
  return false;
}

Sources this_machine() {
  Sources sources;
  sources.add("test", [](const std::string& path) { return Result<std::string>(path); });
  return sources;
}

struct Machine {
  testing::FakeStore store;
  sandbox::testing::House house;
  async::Loop& loop = house.loop;
  store::TempFolder folder;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<logs::LogHub> logs = open_logs();
  net::GrpcTable table;
  net::Server server{
      loop, table, [](net::HttpExchange& e) { return e.answer(404, "text/plain", ""); }, {}};
  net::HttpClient http{loop};
  const Kits kits{{bare_kit()}};
  const Sources sources = this_machine();
  Templates templates{loop, *house.spawner, kits, sources, folder / "run", {}};
  net::Resolver resolver{loop};
  net::WebClient web{loop, {}};
  Buckets buckets{{loop, *house.spawner,
                   BucketEndpoints(resolver, web,
                                   [](const net::WebUrl&, const net::IpAddress&) { return ok(); }),
                   folder / "bucket-helper", folder / "run"}};
  LocalWorker worker{loop,
                     *house.pool,
                     *house.spawner,
                     server,
                     http,
                     *logs,
                     LocalWorkerParts{templates, kits, sources, nullptr, &buckets},
                     folder / "run"};
  int count = 0;

  ~Machine() {
    house.run(templates.shut_down());
    house.run(server.drain(monotonic_now()));
    logs.reset();
    database->close();
  }

  std::unique_ptr<logs::LogHub> open_logs() {
    store::DatabaseOptions options;
    options.path = folder / "logs.db";
    options.migrations = logs::migrations();
    auto opened = store::Database::open(loop, std::move(options));
    REQUIRE(opened);
    database = std::move(*opened);
    auto hub = logs::LogHub::open(loop, *database, {});
    REQUIRE(hub);
    return std::move(*hub);
  }

  LaunchPlan plan(std::vector<std::string> argv) {
    LaunchPlan plan;
    plan.id = model::ContainerId("ta-0000000" + std::to_string(++count));
    plan.layers = {"test:" + house.temporary.root};
    plan.argv = std::move(argv);
    plan.argv.insert(plan.argv.begin(), "probe");
    plan.env = {"PATH=/bin"};
    plan.cwd = "/";
    plan.network = sandbox::SandboxSpec::Network::none;
    plan.log_stream = "ap-1";
    plan.workspace = "ac-1";
    plan.wants_socket = false;
    BucketPlan bucket;
    bucket.bucket = "weights";
    bucket.scheme = "http";
    bucket.host = "127.0.0.1";
    bucket.port = store.port();
    bucket.region = "us-east-1";
    bucket.target = "/b";
    bucket.access = Bind::Access::read_write;
    plan.buckets = {bucket};
    return plan;
  }
};

}  // namespace

TEST_CASE("a container has its buckets, and nothing of them is left after it") {
  if (has_no_helper()) return;
  Machine at;
  auto container = at.house.run(at.worker.launch(at.plan({"put", "/b/new", "text"})));
  CHECK(container->level() == model::Level::booted);
  CHECK(at.house.run(container->wait()).code == 0);
  CHECK(at.store.get("new") == "text");
  CHECK_FALSE(at.house.loop.run_task(container->keep("note", monotonic_now() + 1h)));
  at.house.run(container->remove());
  CHECK(os::list_folder(at.folder / "run").empty());
  CHECK(os::list_folder(at.house.options.folder).size() <= 3);  // the spawner's own files
}

TEST_CASE("a container whose bucket is refused does not start, and leaves nothing") {
  if (has_no_helper()) return;
  Machine at;
  at.store.refuses_with = 403;
  const auto refused = at.house.loop.run_task(at.worker.launch(at.plan({"exit", "0"})));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Code::permission_denied);
  CHECK(os::list_folder(at.folder / "run").empty());
}

TEST_CASE("a container is removed while its program waits for a silent endpoint") {
  if (has_no_helper()) return;
  Machine at;
  at.store.put("a", "first");
  auto container = at.house.run(at.worker.launch(at.plan({"cat", "/b/a"})));
  at.store.is_silent = true;
  CHECK(container->signal(SIGKILL));
  at.house.run(container->remove());
  CHECK(os::list_folder(at.folder / "run").empty());
}
