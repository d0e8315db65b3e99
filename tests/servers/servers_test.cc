// SPDX-License-Identifier: Apache-2.0
// A server that nobody instrumented, in a real container: the heart of Thaw from a call in the
// queue to the process, and back.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "thaw/codec/http_message.h"
#include "thaw/control/fleet.h"
#include "thaw/control/testing/plain_runtime.h"
#include "thaw/net/server.h"
#include "thaw/sandbox/testing/fixture.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/kit.h"
#include "thaw/worker/local_worker.h"
#include "thaw/worker/sources.h"
#include "thaw/worker/templates.h"
#include "thaw/worker/testing/fake_folders.h"

using namespace thaw;
using control::Fleet;
using control::Status;
using model::OutcomeKind;

namespace {

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result, (result ? std::string() : result.error().to_string()));
  return std::move(*result);
}

// An image with this machine's Python, which runs the little server.
class ServerImage final : public image::Builder {
 public:
  explicit ServerImage(std::string root) : root_(std::move(root)) {}
  Result<std::string> key_of(const image::Recipe&) const override { return std::string("image"); }
  Result<image::BuildResult> find(const std::string&) const override {
    image::BuildResult result;
    result.image.sources = {"test:" + root_};
    result.image.config.entrypoint = {"/usr/bin/python3", "/server.py"};
    result.image.config.cmd = {"by", "itself"};
    result.image.config.user = "ann";
    return result;
  }
  async::Task<image::BuildResult> build(image::Recipe, image::BuildLog) override {
    co_return find("");
  }

 private:
  std::string root_;
};

// What a dialect of servers adds: here the machine's own programs.
class HostPrograms final : public control::Runtime {
 public:
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec>,
                                  worker::LaunchPlan& plan) override {
    plan.binds.push_back({"test:/usr", "/usr", worker::Bind::Access::read_only});
    co_return ok();
  }
};

// "test:PATH": what the test has there.
worker::Sources this_machine() {
  worker::Sources sources;
  sources.add("test", [](const std::string& path) { return Result<std::string>(path); });
  return sources;
}

control::FleetOptions options() {
  control::FleetOptions options;
  options.freezer.after = 300ms;
  options.expects = false;
  return options;
}

struct Heart {
  sandbox::testing::House house{sandbox::testing::House::Networking::on};
  async::Loop& loop = house.loop;
  store::TempFolder folder;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<logs::LogHub> logs;
  std::unique_ptr<control::Measurements> measurements;
  async::Loop& opened = open();
  net::GrpcTable table;
  net::Server server{
      loop, table, [](net::HttpExchange& e) { return e.answer(404, "text/plain", ""); }, {}};
  net::HttpClient client{loop};
  const worker::Kits kits{{worker::bare_kit()}};
  const worker::Sources sources = this_machine();
  worker::Templates templates{loop, *house.spawner, kits, sources, folder / "run", {}};
  worker::LocalWorker worker{opened,
                             *house.pool,
                             *house.spawner,
                             server,
                             client,
                             *logs,
                             worker::LocalWorkerParts{templates, kits, sources},
                             folder / "run"};
  worker::testing::FakeFolders folders;
  ServerImage images{make_root(house.temporary.root)};
  HostPrograms runtime;
  std::optional<Fleet> fleet;
  model::FunctionSpec spec;

  Heart() {
    fleet.emplace(control::FleetParts{loop, *catalog, *queue, images, worker, folders, folders,
                                      *logs, runtime,
                                      [](const model::Secret&) -> Result<std::vector<std::string>> {
                                        return std::vector<std::string>{};
                                      },
                                      *measurements, nullptr},
                  options());
    spec.id = model::FunctionId("fu-1");
    spec.app = model::AppId("ap-1");
    spec.workspace = model::WorkspaceId("ac-1");
    spec.version = "v1";
    spec.name = "little";
    spec.image = model::ImageId("im-1");
    spec.scaling.scaledown_window = 3s;
    spec.scaling.max_concurrent_inputs = 4;
    spec.push = model::PushContract{};
    spec.push->ready = {model::PushContract::Ready::By::status, "/health", "", {}, {}};
    model::App app;
    app.id = spec.app;
    app.state = model::AppState::deployed;
    house.run(catalog->apps.put(app));
    model::Image image;
    image.id = spec.image;
    image.key = "image";
    house.run(catalog->images.put(image));
    fleet->start();
  }
  ~Heart() {
    house.run(fleet->shut_down(monotonic_now() + 10s));
    fleet.reset();
    house.run(templates.shut_down());
    house.run(server.drain(monotonic_now()));
    database->close();
  }

  static std::string make_root(const std::string& root) {
    namespace fs = std::filesystem;
    fs::create_directories(root + "/usr");
    fs::remove_all(root + "/bin");
    for (const char* name : {"bin", "lib", "lib64"}) {
      fs::create_directory_symlink("usr/" + std::string(name), root + "/" + name);
    }
    fs::copy_file(THAW_LITTLE_SERVER, root + "/server.py");
    return root;
  }
  async::Loop& open() {
    store::DatabaseOptions database_options;
    database_options.path = folder / "t.db";
    database_options.migrations = catalog::migrations();
    for (const auto& more :
         {queue::migrations(), logs::migrations(), control::measurement_migrations()}) {
      database_options.migrations.insert(database_options.migrations.end(), more.begin(),
                                         more.end());
    }
    database = must(store::Database::open(loop, std::move(database_options)));
    catalog = must(catalog::Catalog::open(*database));
    queue = must(queue::CallQueue::open(loop, *database, {}));
    logs = must(logs::LogHub::open(loop, *database, {}));
    measurements = must(control::Measurements::open(database.get()));
    return loop;
  }
  void publish() {
    catalog::Function record;
    record.id = spec.id;
    record.app = spec.app;
    record.workspace = spec.workspace;
    record.live_version = spec.version;
    record.versions[spec.version] = std::make_shared<model::FunctionSpec>(spec);
    house.run(catalog->functions.put(std::move(record)));
  }
  model::LogEntry result_of_call(const std::string& name, const std::string& target) {
    codec::HttpRequestMessage request;
    request.method = "POST";
    request.target = target;
    request.body = "hello";
    model::NewCall call;
    call.id = model::CallId(name);
    call.workspace = spec.workspace;
    call.app = spec.app;
    call.function = spec.id;
    std::vector<model::NewInput> inputs;
    inputs.push_back(
        {0, {must(codec::write_http(request)), std::string(codec::http_content_type)}});
    (void)house.run(queue->create(std::move(call), std::move(inputs)));
    const auto entries =
        house.run(queue->read(model::CallId(name), 0, 10, monotonic_now() + 2min, nullptr));
    REQUIRE(entries.size() == 1);
    return entries.at(0);
  }
  // Until it holds, as long as that may take on a machine that is busy.
  void until(const std::function<bool()>& holds) {
    const Instant give_up = monotonic_now() + 1min;
    while (!holds() && monotonic_now() < give_up) {
      house.run(async::sleep_for(20ms));
    }
    REQUIRE(holds());
  }
  bool is(Status status) const {
    const auto all = fleet->containers();
    return all.size() == 1 && all.at(0).status == status;
  }
};

}  // namespace

TEST_CASE("a server that nobody instrumented is started, driven, passed to, frozen, and ended") {
  if (sandbox::testing::skipped()) {
    return;
  }
  Heart heart;
  heart.publish();
  const model::LogEntry result = heart.result_of_call("fc-1", "/work");
  REQUIRE(result.outcome == OutcomeKind::success);
  const auto answer = must(codec::read_http_response(result.payload.bytes));
  CHECK(answer.status == 200);  // though it listens while it answers 503
  CHECK(answer.body == "hello at attempt 1 by 1001");
  heart.until([&] { return heart.is(Status::frozen); });

  const auto lease = heart.fleet->try_lease_port(heart.spec.id);
  REQUIRE(lease);
  CHECK(lease->level == model::Level::frozen);
  net::ClientRequest request;
  request.target = "/anything";
  const net::Endpoint endpoint{lease->address, lease->port, ""};
  const auto response =
      heart.house.run(heart.client.send(endpoint, std::move(request), monotonic_now() + 1min));
  CHECK(response->status == 200);
  CHECK(heart.house.run(response->read_all(1000)) == "GET /anything");
  CHECK(heart.is(Status::busy));
  heart.fleet->return_port(*lease);
  // Its connection is kept by us, and no reason to stay awake.
  heart.until([&] { return heart.is(Status::frozen); });

  heart.until([&] { return heart.fleet->containers().empty(); });
  const auto ended = heart.fleet->finished_starts();
  REQUIRE(ended.size() == 1);
  CHECK(ended.at(0).end == "idle");
}

TEST_CASE("a server that dies of a request is told of by its exit, and the next call has another") {
  if (sandbox::testing::skipped()) {
    return;
  }
  Heart heart;
  heart.publish();
  const model::LogEntry result = heart.result_of_call("fc-1", "/die");
  CHECK(result.outcome == OutcomeKind::failure);
  CHECK(result.failure->message.find("exited with code 3") != std::string::npos);
  CHECK(heart.result_of_call("fc-2", "/work").outcome == OutcomeKind::success);
}

TEST_CASE("a server that cannot start is told of, with where to read what it printed") {
  if (sandbox::testing::skipped()) {
    return;
  }
  Heart heart;
  heart.spec.push->ready.good = {"418"};
  heart.spec.push->ready.bad = {"200"};
  heart.publish();
  const model::LogEntry result = heart.result_of_call("fc-1", "/work");
  CHECK(result.outcome == OutcomeKind::failure);
  REQUIRE(result.failure);
  CHECK(result.failure->message.find("GET /health was answered with 200") != std::string::npos);
  CHECK(result.failure->message.find("thaw logs") != std::string::npos);
}
