// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/sandbox.h"

#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

TEST_CASE("a program's output and exit code come back") {
  if (skipped()) return;
  House house;
  const Output output = house.run_to_end(house.spec({"print", "to out", "to err"}));
  CHECK(output.out == "to out\n");
  CHECK(output.err == "to err\n");
  CHECK(output.status.code == 0);
  CHECK(house.run_to_end(house.spec({"exit", "41"})).status.code == 41);
}

TEST_CASE("a program that is killed by a signal says which") {
  if (skipped()) return;
  House house;
  const Output output = house.run_to_end(house.spec({"abort"}));
  CHECK(output.status.signal == SIGABRT);
  CHECK(output.status.code == 128 + SIGABRT);
  CHECK(!output.status.out_of_memory);
}

TEST_CASE("a signal reaches the main program through PID 1") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(house.spec({"signals"}));
  CHECK(house.first_output(*sandbox) == "ready\n");
  CHECK(sandbox->signal(SIGTERM));
  const Output output = house.finish(*sandbox);
  CHECK(output.out == "got TERM\n");
  CHECK(output.status.code == 7);
  house.run(sandbox->remove());
}

TEST_CASE("a program that does not exist is an error that names it, and leaves nothing") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({});
  spec.argv = {"no-such-program"};
  const std::string id = spec.id.str();
  const auto started = house.loop.run_task(house.spawner->start(std::move(spec)));
  REQUIRE(!started);
  CHECK(started.error().code() == Code::not_found);
  CHECK(started.error().message().find("no-such-program") != std::string::npos);
  CHECK(!os::exists(house.options.folder + "/" + id));
}

TEST_CASE("orphans die with the main program") {
  if (skipped()) return;
  House house;
  const Output output = house.run_to_end(house.spec({"orphan"}));
  CHECK(output.out == "left\n");
  CHECK(output.status.code == 0);
}

TEST_CASE("what a sandbox writes is in its own upper and layers stay as they were") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"put", "/etc/passwd", "changed"});
  spec.upper = house.temporary.folder + "/layer";
  CHECK(house.run_to_end(spec).out == "ok\n");
  CHECK(read_file(house.temporary.folder + "/layer/upper/etc/passwd").starts_with("changed"));
  CHECK(read_file(house.temporary.root + "/etc/passwd").starts_with("root:"));
  CHECK(!os::exists(house.temporary.folder + "/layer/work"));
  CHECK(os::list_folder(house.temporary.folder + "/layer/upper") ==
        std::vector<std::string>{"etc"});
}

TEST_CASE("a hundred and twenty layers make one root") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"cat", "/top"});
  for (int i = 0; i < 120; ++i) {
    const std::string layer = house.temporary.folder + "/layer,:\\" + std::to_string(i);
    write_file(layer + "/top", std::to_string(i));
    spec.layers.push_back(layer);
  }
  CHECK(house.run_to_end(spec).out == "119");
}

TEST_CASE("a bind shows a file, a folder and a socket of the host, read-only unless said") {
  if (skipped()) return;
  House house;
  const std::string host = house.temporary.folder + "/host";
  write_file(host + "/file", "from the host");
  std::filesystem::create_directories(host + "/folder");
  using Access = BindMount::Access;
  auto spec = house.spec({"cat", "/deep/new/file"});
  spec.binds = {{host + "/file", "/deep/new/file", Access::read_only},
                {host + "/folder", "/var/data", Access::read_write}};
  CHECK(house.run_to_end(spec).out == "from the host");
  spec.argv = {"probe", "put", "/deep/new/file", "x"};
  CHECK(house.run_to_end(spec).out == "EROFS\n");
  spec.argv = {"probe", "put", "/var/data/x", "written"};
  CHECK(house.run_to_end(spec).out == "ok\n");
  CHECK(read_file(host + "/folder/x") == "written");
}

TEST_CASE("environment, working folder, host name and user are those of the specification") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"env", "GREETING"});
  spec.env.push_back("GREETING=hello");
  CHECK(house.run_to_end(spec).out == "hello\n");
  spec.argv = {"probe", "env", "HOME"};
  spec.user = "ann";
  CHECK(house.run_to_end(spec).out == "/home/ann\n");
  spec.argv = {"probe", "ids"};
  CHECK(house.run_to_end(spec).out == "uid=1001 euid=1001 gid=1002 group=50\n");
  spec.user = "7:staff";
  CHECK(house.run_to_end(spec).out == "uid=7 euid=7 gid=50\n");
  spec.user = "";
  spec.argv = {"probe", "cwd"};
  spec.cwd = "/made/here";
  CHECK(house.run_to_end(spec).out == "/made/here\n");
  CHECK(house.out_of({"hostname"}) == "tester\n");
  CHECK(house.out_of({"cat", "/etc/hostname"}) == "tester\n");
  // With ids of its own what builds the root has been there before it.
  CHECK(house.out_of({"pid"}) == (with_own_ids() ? "3 1\n" : "2 1\n"));
}

TEST_CASE("a user that the image does not know is an error") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"ids"});
  spec.user = "nobody-knows";
  const auto started = house.loop.run_task(house.spawner->start(std::move(spec)));
  REQUIRE(!started);
  CHECK(started.error().code() == Code::not_found);
}

TEST_CASE("memory past the limit ends in out_of_memory") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"eat", "200"});
  spec.limits.memory_bytes = 32 << 20;
  const Output output = house.run_to_end(spec);
  CHECK(output.status.out_of_memory);
  CHECK(output.status.signal == SIGKILL);
  CHECK(output.status.peak_memory_bytes >= 30 << 20);
}

TEST_CASE("who outlives a child that was killed for memory does not end for memory") {
  if (skipped()) return;
  House house;
  const auto ends_for_memory_after = [&house](int survivals) {
    auto spec = house.spec({"eat-in-child", "200", "600"});
    spec.limits.memory_bytes = 32 << 20;
    const auto sandbox = house.start(spec);
    CHECK(house.run(sandbox->read_stdout()) == "ok\n");
    for (int i = 0; i < survivals; ++i) {
      sandbox->note_survival();
    }
    CHECK(sandbox->signal(SIGKILL));
    const bool for_memory = house.finish(*sandbox).status.out_of_memory;
    house.run(sandbox->remove());
    return for_memory;
  };
  CHECK(ends_for_memory_after(1));  // it may be the one that was killed, and not have ended yet
  CHECK_FALSE(ends_for_memory_after(2));
}

TEST_CASE("processes past the limit are refused") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"forks", "100"});
  spec.limits.pids = 20;
  CHECK(house.run_to_end(spec).out == "18 EAGAIN\n");
}

TEST_CASE("two sandboxes of one name are refused and the first goes on") {
  if (skipped()) return;
  House house;
  const auto spec = house.spec({"sleep", "100"});
  auto first = house.start(spec);
  const auto second = house.loop.run_task(house.spawner->start(spec));
  REQUIRE(!second);
  CHECK(second.error().code() == Code::already_exists);
  CHECK(house.first_output(*first) == "sleeping\n");
  house.run(first->remove());
}

namespace {

async::Task<void> start_and_end(Spawner& spawner, SandboxSpec spec, int& ended) {
  THAW_CO_TRY(const auto sandbox, co_await spawner.start(std::move(spec)));
  THAW_CO_TRY(const auto text, co_await sandbox->read_stdout());
  THAW_CO_TRY(const ExitStatus status, co_await sandbox->wait());
  THAW_CO_TRY_VOID(co_await sandbox->remove());
  ended += text == "alive\n" && status.code == 0 ? 1 : 0;
  co_return ok();
}

}  // namespace

TEST_CASE("thirty sandboxes that are wanted at once all start, and nothing is left of them") {
  if (skipped()) return;
  House house(House::Networking::on);
  int ended = 0;
  async::TaskGroup tasks(house.loop);
  for (int i = 0; i < 30; ++i) {
    tasks.start("sandbox", start_and_end(*house.spawner, house.spec({"print", "alive"}), ended));
  }
  CHECK(house.run(tasks.join(monotonic_now() + 60s)));
  CHECK(ended == 30);
  CHECK(os::list_folder(house.options.folder).size() == 2);  // the lock and the record
}

TEST_CASE("a start that is cancelled leaves nothing") {
  if (skipped()) return;
  House house;
  int ended = 0;
  async::TaskGroup tasks(house.loop);
  const auto body = [](async::TaskGroup& group, House& own, int& count) -> async::Task<void> {
    for (int i = 0; i < 10; ++i) {
      auto handle =
          group.start("start", start_and_end(*own.spawner, own.spec({"sleep", "100"}), count));
      THAW_CO_TRY_VOID(co_await async::sleep_for(std::chrono::milliseconds(i)));
      handle.cancel();
    }
    co_return co_await group.stop();
  };
  house.run(body(tasks, house, ended));
  CHECK(ended == 0);
  // One more goes through the same spawner after all removals before it were asked for.
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
}

TEST_CASE("without root, or as a root without powers, the error says what is missing") {
  if (skipped()) return;
  const Temporary temporary;
  SpawnerOptions options;
  options.instance = unique_name();
  options.folder = temporary.folder + "/sandboxes";
  const auto refused_after = [&](auto weaken, const std::string& word) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      weaken();
      const auto spawner = Spawner::fork(options);
      const bool right = !spawner && spawner.error().code() == Code::permission_denied &&
                         spawner.error().message().find(word) != std::string::npos;
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status == 0;
  };
  CHECK(refused_after([] { (void)::setresuid(65534, 65534, 65534); }, "root"));
  CHECK(refused_after([] { (void)detail::drop_capabilities(1); }, "SYS_ADMIN"));
}
