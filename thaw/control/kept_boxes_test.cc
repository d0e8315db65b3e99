// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_boxes.h"

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "thaw/async/virtual_time.h"
#include "thaw/control/boxes.h"
#include "thaw/image/testing/fake_builder.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/testing/fake_folders.h"
#include "thaw/worker/testing/fake_worker.h"

using namespace thaw;
using namespace thaw::control;
using model::BoxEnd;
using sandbox::testing::FakeProcess;
using worker::testing::FakeContainer;

namespace {

// What the process that keeps a box knows of it.
struct Left {
  model::ContainerId id;
  std::string note;
  Instant until{};
  std::vector<std::shared_ptr<FakeProcess::State>> processes;
};

// Servers of one data folder, one after the other.
struct Servers {
  async::VirtualTime time;
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  worker::testing::FakeFolders folders;
  image::testing::FakeBuilder images;
  std::unique_ptr<worker::testing::FakeWorker> worker;
  std::optional<Boxes> boxes;

  Servers() {
    begin({});
    model::App app;
    app.id = model::AppId("ap-1");
    app.workspace = model::WorkspaceId("ac-1");
    app.state = model::AppState::deployed;
    await(catalog->apps.put(app));
    model::Image image;
    image.id = model::ImageId("im-1");
    image.key = "image";
    await(catalog->images.put(image));
  }
  ~Servers() {
    if (boxes) {
      await(boxes->shut_down());
      end();
    }
  }
  void begin(const std::vector<Left>& left) {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = catalog::migrations();
    auto opened = store::Database::open(loop, std::move(options));
    REQUIRE(opened);
    database = std::move(*opened);
    auto loaded = catalog::Catalog::open(*database);
    REQUIRE(loaded);
    catalog = std::move(*loaded);
    worker = std::make_unique<worker::testing::FakeWorker>();
    for (const Left& one : left) {
      auto container = std::make_unique<FakeContainer>(one.id);
      container->fake.can_be_killed = true;
      container->fake.processes = one.processes;
      worker->running.push_back(container.get());
      worker->kept.push_back({one.id, std::move(container), one.note, one.until});
    }
    const auto no_env = [](const model::Secret&) -> Result<std::vector<std::string>> {
      return std::vector<std::string>{};
    };
    boxes.emplace(BoxesParts{loop, *catalog, *worker, images,
                             LaunchOutline({*catalog, images, folders, folders, no_env}),
                             worker::OutputJournals(folder / "journals")},
                  BoxLimits());
    await(boxes->take_over());
    boxes->start();
    passes(1s);
  }
  void end() {
    boxes.reset();
    passes(1s);
    database->close();
  }
  // What is left by the last container.
  Left left_by() {
    FakeContainer& last = *worker->running.back();
    return {last.fake.id(), last.fake.note, last.fake.kept_until, last.fake.processes};
  }
  std::size_t leave() {
    const std::size_t left = await(boxes->leave());
    end();
    return left;
  }
  void passes(Duration how_long) { time.run(loop, time.now() + how_long); }
  template <class T>
  T await(async::Task<T> task) {
    Result<T> outcome = Error::internal("it has not ended");
    async::TaskGroup group(loop);
    const auto body = [](async::Task<T> inner, Result<T>& out) -> async::Task<void> {
      out = co_await std::move(inner);
      co_return ok();
    };
    group.start("awaited", body(std::move(task), outcome));
    for (int i = 0; i < 3'000 && group.size() > 0; ++i) {
      passes(20ms);
    }
    REQUIRE_MESSAGE(outcome, (outcome ? std::string() : outcome.error().to_string()));
    if constexpr (!std::is_void_v<T>) {
      return std::move(*outcome);
    }
  }
  BoxPtr create() {
    BoxSpec spec;
    spec.record.id = model::BoxId("sb-1");
    spec.record.container = model::ContainerId("ta-1");
    spec.record.app = model::AppId("ap-1");
    spec.record.workspace = model::WorkspaceId("ac-1");
    spec.record.image = model::ImageId("im-1");
    spec.record.time_limit = 1000s;
    spec.record.name = "named";
    spec.arguments = {"program"};
    spec.environment = {"KEY=of a secret \xff"};
    spec.mounts = {};
    spec.resources.disk_bytes = 77;
    const BoxPtr box = await(boxes->create(std::move(spec)));
    passes(1s);
    return box;
  }
  BoxProcessPtr start(const BoxPtr& box, const std::string& id) {
    GuestSpec guest;
    guest.id = id;
    guest.argv = {"guest"};
    return await(boxes->start_process(box, std::move(guest)));
  }
  BoxPtr found() { return boxes->find(model::BoxId("sb-1")); }
  model::Box record() { return *catalog->boxes.find("sb-1"); }
  std::string text_of(KeptOutput& output, std::uint64_t from) {
    return await(output.read(from, 1000, time.now())).bytes;
  }
  bool has_journals() { return std::filesystem::exists(folder / "journals/ta-1"); }
};

}  // namespace

TEST_CASE("a box goes on under the next server as it was") {
  Servers f;
  const Instant created = f.time.now();
  f.start(f.create(), "a \xff guest");
  const Left left = f.left_by();
  CHECK(left.until <= created + 1002s);
  CHECK(f.leave() == 1);
  f.passes(100s);
  f.begin({left});
  const BoxPtr box = f.found();
  REQUIRE(box);
  CHECK(f.record().end == BoxEnd::none);
  CHECK(box->record.name == "named");
  CHECK(box->env.back() == "KEY=of a secret \xff");
  CHECK(box->spec.resources.disk_bytes == 77);
  CHECK(box->has_started());
  REQUIRE(Boxes::find_process(*box, "a \xff guest"));
  CHECK_FALSE(Boxes::find_process(*box, "a \xff guest")->end());
  f.start(box, "another");
  CHECK(left.processes.size() == 2);
  // Its time limit has gone on.
  f.passes(880s);
  CHECK(f.record().end == BoxEnd::none);
  f.passes(30s);
  CHECK(f.record().end == BoxEnd::timed_out);
  CHECK_FALSE(f.has_journals());
}

TEST_CASE("what a process had printed and been given is known to the next server") {
  Servers f;
  const BoxProcessPtr process = f.start(f.create(), "a");
  const Left left = f.left_by();
  f.await(process->append(1, "input", false));
  FakeProcess::State& state = *left.processes.at(1);
  state.print("seen ");
  f.passes(1s);
  CHECK(f.text_of(process->out(), 0) == "seen ");
  // As the sandbox writes it down.
  REQUIRE_FALSE(state.journal.empty());
  std::ofstream(state.journal) << "seen ";
  CHECK(f.leave() == 1);
  CHECK(std::filesystem::exists(state.journal));
  f.begin({left});
  const BoxProcessPtr again = Boxes::find_process(*f.found(), "a");
  REQUIRE(again);
  state.print("and more");
  f.passes(1s);
  CHECK(f.text_of(again->out(), 0) == "seen and more");
  CHECK(f.text_of(again->out(), 5) == "and more");
  CHECK(again->input().written == 5);
  f.await(again->append(1, "input", false));  // it comes again
  f.await(again->append(2, " and more", true));
  CHECK(state.input == "input and more");
  CHECK(state.input_is_closed);
}

TEST_CASE("what has ended meanwhile has its code, and a box whose program has ends with it") {
  Servers f;
  f.start(f.create(), "a");
  const Left left = f.left_by();
  CHECK(f.leave() == 1);
  left.processes.at(1)->exit(3);
  f.begin({left});
  CHECK(Boxes::find_process(*f.found(), "a")->end()->code == 3);
  CHECK(f.record().end == BoxEnd::none);
  f.leave();
  left.processes.at(0)->exit(5);
  f.begin({left});
  CHECK(f.record().end == BoxEnd::exited);
  CHECK(f.record().exit_code == 5);
}

TEST_CASE("a box whose note is damaged ends, and its record says why") {
  Servers f;
  f.create();
  Left left = f.left_by();
  CHECK(f.leave() == 1);
  for (const char* damaged : {"", "[]", "{\"env\": 3}", "{\"env\": [\"?\"]}"}) {
    CAPTURE(damaged);
    model::Box running = f.record();
    left.note = damaged;
    f.begin({left});
    CHECK(f.found() == nullptr);
    CHECK(f.record().end == BoxEnd::server_gone);
    CHECK(f.record().why.find("could not be read") != std::string::npos);
    running.end = BoxEnd::none;
    f.await(f.catalog->boxes.put(running));
    f.await(f.boxes->leave());
    f.end();
  }
  f.begin({});
}

TEST_CASE("a process whose note is damaged is forgotten, and its box goes on without it") {
  Servers f;
  f.start(f.create(), "a");
  const Left left = f.left_by();
  CHECK(f.leave() == 1);
  left.processes.at(1)->spec.note = "{";
  f.begin({left});
  REQUIRE(f.found());
  CHECK(f.found()->processes.empty());
  f.leave();
  left.processes.at(0)->spec.note = "[]";  // of its program: then it is no box any more
  f.begin({left});
  CHECK(f.record().end == BoxEnd::server_gone);
}

TEST_CASE("a container of which no record runs is removed") {
  Servers f;
  const BoxPtr box = f.create();
  const Left left = f.left_by();
  f.await(f.boxes->terminate(box, BoxEnd::terminated, ""));
  CHECK(f.leave() == 0);
  f.begin({left});
  CHECK(f.found() == nullptr);
  CHECK_FALSE(f.has_journals());
}

TEST_CASE("one whose time was over while no server ran has timed out; another has gone") {
  Servers f;
  f.create();
  CHECK(f.leave() == 1);
  model::Box box = f.record();
  CHECK_FALSE(was_due_without_server(box));
  box.started_at = wall_now() - std::chrono::seconds(2'000);
  CHECK(was_due_without_server(box));
  const model::Box ended = timed_out_without_server(box);
  CHECK(ended.end == BoxEnd::timed_out);
  CHECK(ended.ended_at == box.started_at + std::chrono::seconds(1'000));
  box.started_at = {};
  CHECK_FALSE(was_due_without_server(box));
  box.created_at = wall_now() - std::chrono::seconds(2'000);
  CHECK(was_due_without_server(box));  // that it ran was not on disk yet
  f.begin({});
  CHECK(f.record().end == BoxEnd::server_gone);
}

TEST_CASE("a server that ends for good ends its boxes, and one that cannot be kept ends anyway") {
  Servers f;
  f.worker->at_launch = [](FakeContainer& container, const worker::LaunchPlan&) {
    container.fake.keep_error = Error::unavailable("nobody keeps it");
  };
  CHECK(f.create()->record.end == BoxEnd::start_failed);
  CHECK(f.leave() == 0);
}
