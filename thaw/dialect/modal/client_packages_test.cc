// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/client_packages.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"

using namespace thaw;
using namespace thaw::dialect::modal;

namespace {

const model::WorkspaceId ours("ac-ours");
const model::WorkspaceId theirs("ac-theirs");

// Stands in for the tool: version 9.9.9 does not exist, 8.8.8 takes until it is let go.
struct Tool {
  std::atomic<int> runs = 0;
  std::atomic<bool> let_go = false;
  ClientPackages::Layout layout() {
    return [this](const std::string& version, const std::string& python,
                  const std::atomic<bool>& stop) -> Result<ClientFolders> {
      ++runs;
      while (version == "8.8.8" && !let_go && !stop) {
        std::this_thread::yield();
      }
      if (version == "9.9.9") {
        return Error::unavailable("the index does not have it");
      }
      return ClientFolders{"/pkg-" + version, "/deps-" + python};
    };
  }
};

async::Task<void> ask(ClientPackages& packages, model::WorkspaceId workspace, std::string version,
                      std::vector<Code>& answers) {
  const Result<void> answer = co_await packages.ensure(std::move(workspace), std::move(version));
  answers.push_back(answer ? Code::ok : answer.error().code());
  co_return ok();
}

async::Task<void> turns(int count) {
  for (int i = 0; i < count; ++i) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(1ms));
  }
  co_return ok();
}

}  // namespace

TEST_CASE("what is no version is refused before anything runs") {
  async::Loop loop;
  Tool tool;
  ClientPackages packages(tool.layout(), {});
  for (const char* version : {"", "1", "1.6", "1.6.4.5", "a.b.c", "1.6.4;reboot", "../../etc",
                              "1.6.4dev", "1.6.4.dev", "99999999999.1.1", "1.6.4 ", "-1.6.4"}) {
    CHECK(loop.run_task(packages.ensure(ours, version)).error().code() == Code::invalid_argument);
  }
  CHECK(tool.runs == 0);
  for (const char* version : {"1.6.4", "0.64.10", "1.0.0.dev3", "1.6.4rc1"}) {
    CHECK(loop.run_task(packages.ensure(ours, version)));
  }
}

TEST_CASE("a version that cannot be had is not asked for again at once") {
  async::Loop loop;
  Tool tool;
  ClientPackages packages(tool.layout(), {});
  for (int i = 0; i < 3; ++i) {
    CHECK(loop.run_task(packages.ensure(ours, "9.9.9")).error().code() == Code::unavailable);
  }
  CHECK(tool.runs == 1);
}

TEST_CASE("it is asked for again once the failure is forgotten") {
  async::Loop loop;
  Tool tool;
  ClientPackages packages(tool.layout(), {.remember_failure = Duration::zero()});
  CHECK(!loop.run_task(packages.ensure(ours, "9.9.9")));
  CHECK(!loop.run_task(packages.ensure(ours, "9.9.9")));
  CHECK(tool.runs == 2);
}

TEST_CASE("a workspace that asks for many versions keeps no other one from its own") {
  async::Loop loop;
  Tool tool;
  ClientPackages packages(tool.layout(), {.versions_per_workspace = 3});
  std::vector<Code> answers;
  async::TaskGroup group(loop);
  group.start("slow", ask(packages, ours, "8.8.8", answers));
  for (const char* version : {"1.0.1", "1.0.2", "1.0.3", "1.0.4", "1.0.5"}) {
    group.start("more", ask(packages, ours, version, answers));
  }
  for (int i = 0; i < 1'000 && tool.runs == 0; ++i) {
    REQUIRE(loop.run_task(turns(3)));
    std::this_thread::sleep_for(1ms);
  }
  // One is at work, three wait, two are too many.
  CHECK(tool.runs == 1);
  CHECK(answers == std::vector{Code::resource_exhausted, Code::resource_exhausted});

  CHECK(loop.run_task(packages.ensure(theirs, "1.0.1")));
  CHECK(tool.runs == 2);

  tool.let_go = true;
  while (answers.size() < 6) {
    REQUIRE(loop.run_task(turns(1)));
  }
  CHECK(std::count(answers.begin(), answers.end(), Code::ok) == 4);
  CHECK(loop.run_task(group.stop()));
}

TEST_CASE("an app of many functions waits for its client's package as a whole") {
  async::Loop loop;
  Tool tool;
  ClientPackages packages(tool.layout(),
                          {.versions_per_workspace = 1, .requests_per_workspace = 50});
  std::vector<Code> answers;
  async::TaskGroup group(loop);
  for (int i = 0; i < 51; ++i) {  // one lays it out, and the others wait
    group.start("ask", ask(packages, ours, "8.8.8", answers));
  }
  REQUIRE(loop.run_task(turns(2)));
  CHECK(answers.empty());
  group.start("one too many", ask(packages, ours, "8.8.8", answers));
  REQUIRE(loop.run_task(turns(2)));
  CHECK(answers == std::vector{Code::resource_exhausted});
  tool.let_go = true;
  while (answers.size() < 52) {
    REQUIRE(loop.run_task(turns(1)));
  }
  CHECK(std::count(answers.begin(), answers.end(), Code::ok) == 51);
  CHECK(tool.runs == 1);
  CHECK(loop.run_task(group.stop()));
}

TEST_CASE("two that want the same version share one layout") {
  async::Loop loop;
  Tool tool;
  ClientPackages packages(tool.layout(), {});
  std::vector<Code> answers;
  async::TaskGroup group(loop);
  group.start("ours", ask(packages, ours, "8.8.8", answers));
  group.start("theirs", ask(packages, theirs, "8.8.8", answers));
  REQUIRE(loop.run_task(turns(2)));
  tool.let_go = true;
  while (answers.size() < 2) {
    REQUIRE(loop.run_task(turns(1)));
  }
  CHECK(answers == std::vector{Code::ok, Code::ok});
  CHECK(tool.runs == 1);
  CHECK(loop.run_task(group.stop()));
}

TEST_CASE("an end of the server ends a layout that hangs") {
  async::Loop loop;
  Tool tool;
  std::vector<Code> answers;
  {
    async::TaskGroup group(loop);
    ClientPackages packages(tool.layout(), {});
    group.start("hangs", ask(packages, ours, "8.8.8", answers));
    REQUIRE(loop.run_task(turns(2)));
    packages.stop();
    CHECK(loop.run_task(group.stop()));
  }
  CHECK(answers.size() == 1);
}
