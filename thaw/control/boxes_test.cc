// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/boxes.h"

#include <doctest/doctest.h>

#include <csignal>

#include "thaw/async/virtual_time.h"
#include "thaw/catalog/scope.h"
#include "thaw/control/disk_watch.h"
#include "thaw/image/testing/fake_builder.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/testing/fake_folders.h"
#include "thaw/worker/testing/fake_worker.h"

using namespace thaw;
using namespace thaw::control;
using model::BoxEnd;
using sandbox::testing::FakeProcess;
using Program = std::shared_ptr<FakeProcess::State>;

namespace {

BoxLimits few() {
  BoxLimits limits;
  limits.boxes = 6;
  limits.processes = 8;
  limits.processes_of_box = 3;
  limits.kept_processes = 2;
  return limits;
}

struct BoxHouse {
  async::VirtualTime time;
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  worker::testing::FakeFolders folders;
  image::testing::FakeBuilder images;
  worker::testing::FakeWorker worker;
  std::optional<Boxes> boxes;
  std::vector<Program> programs;  // of the boxes, in order
  int made = 0;

  BoxHouse() {
    open();
    for (const char* id : {"ap-1", "ap-2"}) {
      model::App app;
      app.id = model::AppId(id);
      app.workspace = model::WorkspaceId("ac" + app.id.str().substr(2));
      app.state = model::AppState::deployed;
      await(catalog->apps.put(app));
    }
    model::Image image;
    image.id = model::ImageId("im-1");
    image.key = "image";
    await(catalog->images.put(image));
  }
  ~BoxHouse() {
    worker.holds_launches = false;
    worker.changed.notify_all();
    close();
  }
  void open() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = catalog::migrations();
    auto opened = store::Database::open(loop, std::move(options));
    REQUIRE(opened);
    database = std::move(*opened);
    auto loaded = catalog::Catalog::open(*database);
    REQUIRE(loaded);
    catalog = std::move(*loaded);
    const auto no_env = [](const model::Secret&) -> Result<std::vector<std::string>> {
      return std::vector<std::string>{};
    };
    boxes.emplace(BoxesParts{loop, *catalog, worker, images,
                             LaunchOutline({*catalog, images, folders, folders, no_env})},
                  few());
    boxes->start();
    passes(1s);
  }
  void close() {
    await(boxes->shut_down());
    boxes.reset();
    passes(1s);
    database->close();
  }
  void passes(Duration how_long) { time.run(loop, time.now() + how_long); }
  template <class T>
  Result<T> result_of(async::Task<T> task) {
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
    (void)loop.run_task(group.stop());
    return outcome;
  }
  template <class T>
  T await(async::Task<T> task) {
    auto outcome = result_of(std::move(task));
    REQUIRE_MESSAGE(outcome, (outcome ? std::string() : outcome.error().to_string()));
    if constexpr (!std::is_void_v<T>) {
      return std::move(*outcome);
    }
  }

  BoxSpec spec(const char* app = "ap-1") {
    BoxSpec spec;
    const std::string number = std::to_string(++made);
    spec.record.id = model::BoxId("sb-" + number);
    spec.record.container = model::ContainerId("ta-" + number);
    spec.record.app = model::AppId(app);
    spec.record.workspace = model::WorkspaceId("ac" + std::string(app).substr(2));
    spec.record.image = model::ImageId("im-1");
    spec.record.time_limit = 1000s;
    spec.arguments = {"program", "argument"};
    return spec;
  }
  BoxPtr create(BoxSpec spec) {
    const BoxPtr box = await(boxes->create(std::move(spec)));
    passes(1s);
    if (!worker.running.empty() && !box->record.has_ended() && !worker.holds_launches) {
      programs.push_back(processes().at(0));
    }
    return box;
  }
  BoxPtr create() { return create(spec()); }
  // Of the box that was made last.
  std::vector<Program>& processes() { return worker.running.back()->fake.processes; }
  GuestSpec guest(const std::string& id) {
    GuestSpec spec;
    spec.id = id;
    spec.argv = {"guest"};
    return spec;
  }
  const model::Box& stored(const BoxPtr& box) {
    const auto found = catalog->boxes.find(box->record.id.str());
    REQUIRE(found);
    return *found;
  }
  std::string text_of(KeptOutput& output) { return await(output.read(0, 1000, time.now())).bytes; }
};

}  // namespace

TEST_CASE("a box runs its program, and ends with it and with its code") {
  BoxHouse f;
  BoxSpec spec = f.spec();
  spec.environment = {"A=a", "A=b"};
  spec.cwd = "/there";
  const BoxPtr box = f.create(std::move(spec));
  REQUIRE(f.worker.plans.size() == 1);
  CHECK(f.worker.plans[0].guests == sandbox::SandboxSpec::Guests::possible);
  CHECK(f.worker.plans[0].argv.empty());
  CHECK_FALSE(f.worker.plans[0].wants_socket);
  CHECK(f.programs[0]->spec.argv == std::vector<std::string>{"program", "argument"});
  CHECK(f.programs[0]->spec.cwd == "/there");
  CHECK(f.programs[0]->spec.env.back() == "A=b");
  CHECK(f.stored(box).end == BoxEnd::none);
  f.programs[0]->print("words");
  f.passes(1s);
  CHECK(f.text_of(box->main->out()) == "words");
  f.programs[0]->exit(5);
  f.passes(1s);
  CHECK(box->record.end == BoxEnd::exited);
  CHECK(f.stored(box).end == BoxEnd::exited);
  CHECK(f.stored(box).exit_code == 5);
  CHECK(f.text_of(box->main->out()) == "words");  // for a while after its end
  f.passes(1h);
  CHECK(f.boxes->find(box->record.id) == nullptr);
  CHECK(f.boxes->find(box->record.container) == nullptr);
}

TEST_CASE("a box ends at its time limit, when it is idle, when it is told, and with its app") {
  BoxHouse f;
  BoxSpec limited = f.spec();
  limited.record.time_limit = 10s;
  const BoxPtr timed = f.create(std::move(limited));
  BoxSpec lazy = f.spec();
  lazy.record.idle_limit = 20s;
  const BoxPtr idle = f.create(std::move(lazy));
  const BoxPtr busy = f.create();
  f.passes(12s);
  CHECK(timed->record.end == BoxEnd::timed_out);
  CHECK(idle->record.end == BoxEnd::none);
  f.passes(12s);
  CHECK(idle->record.end == BoxEnd::idle);
  CHECK(busy->record.end == BoxEnd::none);
  f.await(f.boxes->terminate(busy, BoxEnd::terminated, "said so"));
  CHECK(f.stored(busy).end == BoxEnd::terminated);
  CHECK(f.stored(busy).why == "said so");
  const BoxPtr of_app = f.create();
  model::App app = *f.catalog->apps.find("ap-1");
  app.state = model::AppState::stopped;
  f.await(f.catalog->apps.put(app));
  f.passes(1s);
  CHECK(of_app->record.end == BoxEnd::terminated);
}

TEST_CASE("a process that runs in it keeps a box from being idle") {
  BoxHouse f;
  BoxSpec lazy = f.spec();
  lazy.record.idle_limit = 20s;
  const BoxPtr box = f.create(std::move(lazy));
  f.await(f.boxes->start_process(box, f.guest("a")));
  f.passes(100s);
  CHECK(box->record.end == BoxEnd::none);
  f.processes().at(1)->exit(0);
  f.passes(15s);
  CHECK(box->record.end == BoxEnd::none);
  f.passes(10s);
  CHECK(box->record.end == BoxEnd::idle);
}

TEST_CASE("a box that cannot be started says why, and nothing of it is left") {
  BoxHouse f;
  f.worker.launch_error = Error::not_found("there is no such layer");
  const BoxPtr unlaunched = f.create();
  CHECK(unlaunched->record.end == BoxEnd::start_failed);
  CHECK(f.stored(unlaunched).why == "there is no such layer");
  f.worker.launch_error.reset();
  f.worker.at_launch = [](worker::testing::FakeContainer& container, const worker::LaunchPlan&) {
    container.fake.run_error = Error::not_found("there is no such program");
  };
  const BoxPtr box = f.create();
  CHECK(box->record.end == BoxEnd::start_failed);
  CHECK(f.stored(box).why == "there is no such program");
  CHECK(f.boxes->living().empty());
  BoxSpec unknown = f.spec();
  unknown.record.image = model::ImageId("im-none");
  const BoxPtr imageless = f.create(std::move(unknown));
  CHECK(imageless->record.end == BoxEnd::start_failed);
  const auto late = f.result_of(f.boxes->start_process(imageless, f.guest("a")));
  REQUIRE(!late);
  CHECK(late.error().code() == Code::not_found);
}

TEST_CASE("a box whose container is killed from outside does not go on") {
  BoxHouse f;
  const BoxPtr box = f.create();
  sandbox::ExitStatus status;
  status.ended_with_spawner = true;
  f.worker.running.back()->fake.end(status);
  f.passes(1s);
  CHECK(f.stored(box).end == BoxEnd::server_gone);
  CHECK(f.stored(box).why.find("starts containers") != std::string::npos);
}

TEST_CASE("processes are started in a box, found by their ids, and end with it") {
  BoxHouse f;
  const BoxPtr box = f.create();
  GuestSpec spec = f.guest("a");
  spec.argv = {"sh", "-c"};
  spec.environment = {"B=c"};
  const BoxProcessPtr first = f.await(f.boxes->start_process(box, spec));
  CHECK(f.await(f.boxes->start_process(box, spec)) == first);  // asked for again
  CHECK(Boxes::find_process(*box, "a") == first);
  CHECK(Boxes::find_process(*box, "b") == nullptr);
  REQUIRE(f.processes().size() == 2);
  const Program program = f.processes().at(1);
  CHECK(program->spec.argv == std::vector<std::string>{"sh", "-c"});
  CHECK(program->spec.env.back() == "B=c");
  program->print("out");
  program->error.push_back("err");
  program->exit(0, 0);
  f.passes(1s);
  CHECK(first->end()->code == 0);
  CHECK(f.text_of(first->out()) == "out");
  CHECK(f.text_of(first->error()) == "err");
  const BoxProcessPtr second = f.await(f.boxes->start_process(box, f.guest("b")));
  f.await(f.boxes->terminate(box, BoxEnd::terminated, ""));
  CHECK(second->end()->with_sandbox);
  CHECK(f.await(second->out().read(0, 10, f.time.now())).is_end);
}

TEST_CASE("who starts a process in a box that is being started waits for it") {
  BoxHouse f;
  f.worker.holds_launches = true;
  const BoxPtr box = f.create();
  async::TaskGroup group(f.loop);
  Result<BoxProcessPtr> started = Error::internal("not yet");
  const auto body = [](BoxHouse& house, BoxPtr of,
                       Result<BoxProcessPtr>& out) -> async::Task<void> {
    out = co_await house.boxes->start_process(std::move(of), house.guest("a"));
    co_return ok();
  };
  group.start("start", body(f, box, started));
  f.passes(5s);
  CHECK(group.size() == 1);
  f.worker.holds_launches = false;
  f.worker.changed.notify_all();
  f.passes(1s);
  CHECK(group.size() == 0);
  CHECK(started);
}

TEST_CASE("a process that takes longer than it may is killed") {
  BoxHouse f;
  const BoxPtr box = f.create();
  GuestSpec spec = f.guest("a");
  spec.time_limit = 5s;
  const BoxProcessPtr process = f.await(f.boxes->start_process(box, std::move(spec)));
  f.passes(4s);
  CHECK_FALSE(process->end());
  f.passes(2s);
  REQUIRE(process->end());
  CHECK(process->end()->signal == SIGKILL);
  CHECK(f.processes().at(1)->signals == std::vector<int>{SIGKILL});
  CHECK(box->record.end == BoxEnd::none);
}

TEST_CASE("a box is ready when its probe says so") {
  BoxHouse f;
  BoxSpec by_port = f.spec();
  by_port.probe = ReadyProbe{.port = 80, .argv = {}};
  const BoxPtr listening = f.create(std::move(by_port));
  const auto early = f.result_of(f.boxes->wait_until_ready(listening, f.time.now() + 5s));
  REQUIRE(!early);
  CHECK(early.error().code() == Code::deadline_exceeded);
  f.worker.running.back()->listeners.insert(80);
  CHECK(f.await(f.boxes->wait_until_ready(listening, f.time.now() + 5s)) != WallTime{});
  BoxSpec by_program = f.spec();
  by_program.probe = ReadyProbe{.port = 0, .argv = {"look"}};
  const BoxPtr looked_at = f.create(std::move(by_program));
  REQUIRE(f.processes().size() == 2);
  CHECK(f.processes().at(1)->spec.argv == std::vector<std::string>{"look"});
  f.processes().at(1)->exit(1);
  f.passes(1s);
  CHECK(looked_at->ready_at == WallTime{});
  REQUIRE(f.processes().size() == 3);
  f.processes().at(2)->exit(0);
  f.passes(1s);
  CHECK(f.await(f.boxes->wait_until_ready(looked_at, f.time.now())) == looked_at->ready_at);
  const auto without = f.result_of(f.boxes->wait_until_ready(f.create(), f.time.now() + 5s));
  REQUIRE(!without);
  CHECK(without.error().code() == Code::failed_precondition);
}

TEST_CASE("input goes by its place: what was written is not written again") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const Program program = f.programs[0];
  f.await(box->main->write(0, "hello", false));
  f.await(box->main->write(0, "hello", false));
  f.await(box->main->write(3, "lo world", false));
  CHECK(program->input == "hello world");
  const auto gap = f.result_of(box->main->write(50, "x", false));
  REQUIRE(!gap);
  CHECK(gap.error().code() == Code::failed_precondition);
  const auto ahead = f.result_of(box->main->append(2, "x", false));
  REQUIRE(!ahead);
  CHECK(ahead.error().code() == Code::failed_precondition);
  f.await(box->main->append(1, "!", false));
  f.await(box->main->append(1, "!", false));
  f.await(box->main->append(2, "", true));
  CHECK(program->input == "hello world!");
  CHECK(program->input_is_closed);
  f.await(box->main->write(0, "hello", true));  // a request that is made again
  const auto late = f.result_of(box->main->write(12, "more", false));
  REQUIRE(!late);
  CHECK(late.error().code() == Code::failed_precondition);
}

TEST_CASE("who writes waits while the program does not read, and goes on where it got to") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const Program program = f.programs[0];
  program->takes_input = 3;
  {
    async::TaskGroup group(f.loop);
    group.start("write", box->main->write(0, "hello", true));
    f.passes(1s);
    CHECK(group.size() == 1);
    (void)f.loop.run_task(group.stop());  // its client is gone
  }
  CHECK(box->main->input().written == 3);
  program->takes_input = 100;
  program->changed.notify_all();
  f.await(box->main->write(3, "lo", true));
  CHECK(program->input == "hello");
}

TEST_CASE("a numbered piece of input that was broken off is finished when it comes again") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const Program program = f.programs[0];
  f.await(box->main->append(1, "ab", false));
  program->takes_input = 5;
  {
    async::TaskGroup group(f.loop);
    group.start("append", box->main->append(2, "cdefgh", false));
    f.passes(1s);
    CHECK(group.size() == 1);
    (void)f.loop.run_task(group.stop());  // its client is gone
  }
  CHECK(program->input == "abcde");
  program->takes_input = 100;
  program->changed.notify_all();
  f.await(box->main->append(2, "cdefgh", false));
  f.await(box->main->append(2, "cdefgh", false));
  f.await(box->main->append(1, "ab", false));
  f.await(box->main->append(3, "i", true));
  CHECK(program->input == "abcdefghi");
}

TEST_CASE("what a process leaves behind does not keep its readers waiting") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const BoxProcessPtr process = f.await(f.boxes->start_process(box, f.guest("a")));
  const Program program = f.processes().at(1);
  program->print("its own");
  program->end = sandbox::ProcessEnd{0, 0, false};  // others hold its output open
  program->changed.notify_all();
  f.passes(1s);
  CHECK(f.text_of(process->out()) == "its own");
  CHECK(f.await(process->out().read(7, 10, f.time.now())).is_end);
  program->print("somebody else's");
  f.passes(1s);
  CHECK(program->out.empty());  // whoever prints it does not wait
}

TEST_CASE("names are of one living box of an app, and tags can be changed") {
  BoxHouse f;
  const auto named = [&f](const char* app) {
    BoxSpec spec = f.spec(app);
    spec.record.name = "held";
    return spec;
  };
  const BoxPtr first = f.create(named("ap-1"));
  const auto second = f.result_of(f.boxes->create(named("ap-1")));
  REQUIRE(!second);
  CHECK(second.error().code() == Code::already_exists);
  f.create(named("ap-2"));
  const catalog::Scope scope(*f.catalog, model::WorkspaceId("ac-1"));
  CHECK(scope.named_box(model::AppId("ap-1"), "held")->id == first->record.id);
  CHECK(scope.named_box(model::AppId("ap-2"), "held") == nullptr);
  CHECK(scope.box(first->record.id.str()) != nullptr);
  CHECK(catalog::Scope(*f.catalog, model::WorkspaceId("ac-2")).box(first->record.id.str()) ==
        nullptr);
  f.await(f.boxes->set_tags(first, {{"k", "v"}}));
  CHECK(f.stored(first).tags.at("k") == "v");
  f.await(f.boxes->terminate(first, BoxEnd::terminated, ""));
  f.create(named("ap-1"));
}

TEST_CASE("a workspace has half of the boxes, and others find theirs") {
  BoxHouse f;
  for (int i = 0; i < 3; ++i) {
    f.create();
  }
  const auto more = f.result_of(f.boxes->create(f.spec()));
  REQUIRE(!more);
  CHECK(more.error().code() == Code::resource_exhausted);
  CHECK(more.error().message().find("max_boxes") != std::string::npos);
  const BoxPtr other = f.create(f.spec("ap-2"));
  CHECK(other->record.end == BoxEnd::none);
}

TEST_CASE("a box has a number of processes, and forgets the oldest that have ended") {
  BoxHouse f;
  const BoxPtr box = f.create();
  for (const char* id : {"a", "b", "c"}) {
    f.await(f.boxes->start_process(box, f.guest(id)));
  }
  const auto more = f.result_of(f.boxes->start_process(box, f.guest("d")));
  REQUIRE(!more);
  CHECK(more.error().code() == Code::resource_exhausted);
  for (const std::size_t which : {1u, 2u, 3u}) {
    f.processes().at(which)->exit(0);
  }
  f.passes(1s);
  f.await(f.boxes->start_process(box, f.guest("d")));
  CHECK(Boxes::find_process(*box, "a") == nullptr);
  CHECK(Boxes::find_process(*box, "b") != nullptr);
  CHECK(Boxes::find_process(*box, "d") != nullptr);
}

TEST_CASE("boxes that ran when their server ended are told so by the next one") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const std::string id = box->record.id.str();
  model::Box as_it_was = f.stored(box);
  f.close();
  f.open();
  CHECK(f.catalog->boxes.find(id)->end == BoxEnd::server_gone);  // it was stopped in order
  as_it_was.end = BoxEnd::none;
  f.await(f.catalog->boxes.put(as_it_was));  // as one that was killed leaves it
  f.close();
  f.open();
  const auto found = f.catalog->boxes.find(id);
  CHECK(found->end == BoxEnd::server_gone);
  CHECK(found->exit_code == 128 + SIGKILL);
  CHECK(found->why.find("server") != std::string::npos);
}

TEST_CASE("a box's ports, and who reaches them, are known as long as it lives") {
  BoxHouse f;
  BoxSpec spec = f.spec();
  spec.record.ports = {{8'000, model::BoxPort::Speaks::http2}};
  spec.record.reached_from = {"10.0.0.0/8"};
  spec.reaches = {"192.0.2.0/24"};
  const BoxPtr box = f.create(std::move(spec));
  CHECK(f.worker.plans[0].reaches == std::vector<std::string>{"192.0.2.0/24"});
  const model::Box stored = f.stored(box);
  REQUIRE(stored.ports.size() == 1);
  CHECK(stored.ports[0].port == 8'000);
  CHECK(stored.ports[0].speaks == model::BoxPort::Speaks::http2);
  CHECK(stored.reached_from == std::vector<std::string>{"10.0.0.0/8"});
  f.await(f.boxes->terminate(box, BoxEnd::terminated, ""));
  CHECK(f.stored(box).ports.empty());
  CHECK(f.stored(box).reached_from.empty());
}

TEST_CASE("a box has an address from its start to its end, if it has a network") {
  BoxHouse f;
  const auto code_of = [&f](const BoxPtr& box) {
    const auto address = f.boxes->address_of(box->record.container);
    return address ? Code::ok : address.error().code();
  };
  f.worker.holds_launches = true;
  const BoxPtr box = f.create();
  CHECK(code_of(box) == Code::unavailable);
  f.worker.holds_launches = false;
  f.worker.changed.notify_all();
  f.passes(1s);
  CHECK(code_of(box) == Code::ok);
  f.await(f.boxes->terminate(box, BoxEnd::terminated, ""));
  CHECK(code_of(box) == Code::not_found);
  BoxSpec closed = f.spec();
  closed.network = model::NetworkAccess::blocked;
  CHECK(code_of(f.create(std::move(closed))) == Code::failed_precondition);
}

TEST_CASE("a box whose ports are visited is in use") {
  BoxHouse f;
  BoxSpec spec = f.spec();
  spec.record.idle_limit = 20s;
  const BoxPtr box = f.create(std::move(spec));
  ++box->visits;
  f.passes(60s);
  CHECK_FALSE(box->record.has_ended());
  --box->visits;
  f.passes(60s);
  CHECK(box->record.end == BoxEnd::idle);
}

TEST_CASE("records of boxes that ended long ago go") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const std::string id = box->record.id.str();
  f.await(f.boxes->terminate(box, BoxEnd::terminated, ""));
  f.passes(2h);
  CHECK(f.catalog->boxes.find(id) != nullptr);
  f.passes(30h);
  CHECK(f.catalog->boxes.find(id) == nullptr);
}

TEST_CASE("the disk and the mounts that boxes use are known") {
  BoxHouse f;
  BoxSpec spec = f.spec();
  spec.mounts = {model::MountId("mo-1")};
  model::Mount mount;
  mount.id = model::MountId("mo-1");
  f.await(f.catalog->mounts.put(mount));
  const BoxPtr box = f.create(std::move(spec));
  REQUIRE(f.boxes->disk_users().size() == 1);
  CHECK(f.boxes->disk_users()[0].container == box->record.container);
  CHECK(f.boxes->mounts_in_use().size() == 1);
  CHECK(f.boxes->end_for(box->record.container, "it wrote too much"));
  CHECK_FALSE(f.boxes->end_for(model::ContainerId("ta-none"), ""));
  f.passes(1s);
  CHECK(f.stored(box).why == "it wrote too much");
  CHECK(f.boxes->disk_users().empty());
}

TEST_CASE("a process that has ended holds nothing of the system, whoever reads it yet") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const BoxProcessPtr process = f.await(f.boxes->start_process(box, f.guest("a")));
  CHECK(f.processes().at(1).use_count() == 2);  // the test's and the process's
  f.processes().at(1)->print("words");
  f.processes().at(1)->exit(0);
  f.passes(1s);
  CHECK(f.processes().at(1).use_count() == 1);
  CHECK(process->is_over());
  CHECK(f.text_of(process->out()) == "words");
}

TEST_CASE("what processes leave behind counts as long as it holds their streams") {
  BoxHouse f;
  const BoxPtr box = f.create();
  for (const char* id : {"a", "b", "c"}) {
    f.await(f.boxes->start_process(box, f.guest(id)));
  }
  for (const std::size_t which : {1u, 2u, 3u}) {
    f.processes().at(which)->end = sandbox::ProcessEnd{0, 0, false};
    f.processes().at(which)->changed.notify_all();
  }
  f.passes(1s);
  const auto more = f.result_of(f.boxes->start_process(box, f.guest("d")));
  REQUIRE(!more);
  CHECK(more.error().code() == Code::resource_exhausted);
  CHECK(more.error().message().find("left others behind") != std::string::npos);
  f.processes().at(1)->exit(0);
  f.passes(1s);
  f.await(f.boxes->start_process(box, f.guest("d")));
}

TEST_CASE("looks at whether a box is ready leave no streams open") {
  BoxHouse f;
  BoxSpec spec = f.spec();
  spec.probe = ReadyProbe{.port = 0, .argv = {"look"}};
  f.create(std::move(spec));
  REQUIRE(f.processes().size() == 2);
  f.processes().at(1)->end = sandbox::ProcessEnd{1, 0, false};  // others hold its output open
  f.processes().at(1)->changed.notify_all();
  f.passes(1s);
  CHECK(f.processes().size() == 3);
  CHECK(f.processes().at(1).use_count() == 1);
}

TEST_CASE("who breaks off while a box is made leaves no record that runs for ever") {
  BoxHouse f;
  async::TaskGroup group(f.loop);
  const auto body = [](BoxHouse& house) -> async::Task<void> {
    THAW_CO_TRY([[maybe_unused]] const BoxPtr box, co_await house.boxes->create(house.spec()));
    co_return ok();
  };
  group.start("create", body(f));
  (void)f.result_of(group.stop());
  f.passes(10s);
  for (const auto& [id, record] : f.catalog->boxes.all()) {
    CHECK((record->has_ended() || f.boxes->find(record->id) != nullptr));
  }
}

TEST_CASE("copies of a box's root are made one after the other, each while it stands still") {
  BoxHouse f;
  const BoxPtr box = f.create();
  async::TaskGroup group(f.loop);
  const auto body = [](BoxHouse& house, BoxPtr of, std::string id) -> async::Task<void> {
    THAW_CO_TRY([[maybe_unused]] const std::string key,
                co_await house.boxes->snapshot(std::move(of), std::move(id)));
    co_return ok();
  };
  group.start("first", body(f, box, "a"));
  group.start("second", body(f, box, "b"));
  f.passes(5s);
  CHECK(group.size() == 0);
  CHECK(f.images.layers_added == 2);
  CHECK(f.images.most_at_once == 1);
  CHECK(f.await(f.boxes->snapshot(box, "a")) == "image+1");  // as it was made
  CHECK(f.images.layers_added == 2);
}

TEST_CASE("a box's end is stored though its workspace may store nothing more") {
  BoxHouse f;
  const BoxPtr box = f.create();
  const auto use = f.catalog->shares.of("ac-1");
  f.catalog->shares.limits.bytes = use.bytes;
  f.catalog->shares.limits.objects = use.objects;
  const auto refused = f.result_of(f.boxes->set_tags(box, {{"k", std::string(200, 'v')}}));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(box->record.tags.empty());
  f.await(f.boxes->terminate(box, BoxEnd::terminated, "said so"));
  CHECK(f.stored(box).end == BoxEnd::terminated);
  CHECK(f.stored(box).why == "said so");
}

TEST_CASE("whatever the reason of an end has in it, it is stored, and bounded") {
  BoxHouse f;
  f.worker.launch_error = Error::not_found("no \xff " + std::string(5'000, 'x'));
  const BoxPtr box = f.create();
  CHECK(f.stored(box).end == BoxEnd::start_failed);
  CHECK(f.stored(box).why.size() == model::Box::longest_why);
  CHECK(f.stored(box).why.starts_with("no \uFFFD xxx"));
}
