// SPDX-License-Identifier: Apache-2.0
// Lists of calls: what is in them, in which order, page after page.
#include <doctest/doctest.h>

#include <set>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using State = CallFilter::State;

namespace {

const model::WorkspaceId ann("ac-ann");

CallPage page_of(Fixture& f, CallFilter filter, std::string cursor = "", std::size_t most = 100) {
  auto page = f.loop.run_task(f.queue->list(std::move(filter), std::move(cursor), most));
  REQUIRE(page);
  return *page;
}

// All pages; each is checked against what a page may be.
std::vector<std::string> all_of(Fixture& f, const CallFilter& filter, std::size_t most) {
  std::vector<std::string> ids;
  WallTime last = WallTime::max();
  std::string cursor;
  do {
    const CallPage page = page_of(f, filter, cursor, most);
    CHECK(page.calls.size() <= most);
    for (const ListedCall& call : page.calls) {
      CHECK(call.created_at <= last);
      last = call.created_at;
      ids.push_back(call.id.str());
    }
    cursor = page.next;
  } while (!cursor.empty());
  return ids;
}

void create(Fixture& f, const std::string& name, Durability durability,
            const model::WorkspaceId& workspace = ann, const std::string& function = "fu-1") {
  model::NewCall call = f.call(name, durability);
  call.workspace = workspace;
  call.function = model::FunctionId(function);
  f.create(call, {"in"});
}

void finish_all(Fixture& f, const std::string& function = "fu-1") {
  for (const LeasedInput& input :
       f.queue->lease(model::FunctionId(function), Fixture::container("ta-1"), 100'000)) {
    f.complete(input.input, "ta-1", model::OutcomeKind::success, "out");
  }
}

}  // namespace

TEST_CASE("a list has the calls of one workspace, the newest first, from memory and from disk") {
  Fixture f;
  create(f, "fc-1", Durability::durable);
  create(f, "fc-2", Durability::memory);
  create(f, "fc-3", Durability::durable, model::WorkspaceId("ac-bob"));
  create(f, "fc-4", Durability::durable, ann, "fu-2");
  finish_all(f);
  create(f, "fc-5", Durability::memory);
  const std::vector<std::string> all = {"fc-5", "fc-4", "fc-2", "fc-1"};
  for (const std::size_t most : {1u, 2u, 3u, 100u}) {
    CHECK(all_of(f, {.workspace = ann}, most) == all);
  }
  CHECK(all_of(f, {.workspace = ann, .function = model::FunctionId("fu-2")}, 2) ==
        std::vector<std::string>{"fc-4"});
  CHECK(all_of(f, {.workspace = ann, .state = State::unfinished}, 1) ==
        std::vector<std::string>{"fc-5", "fc-4"});
  CHECK(all_of(f, {.workspace = ann, .state = State::finished}, 1) ==
        std::vector<std::string>{"fc-2", "fc-1"});
  const CallPage page = page_of(f, {.workspace = ann});
  REQUIRE(page.calls.size() == 4);
  CHECK(page.calls[0].durability == Durability::memory);
  CHECK(!page.calls[0].finished_at);
  CHECK(page.calls[3].finished_at);
  // Created from a moment on, and before one.
  CHECK(all_of(f, {.workspace = ann, .from = page.calls[1].created_at}, 100) ==
        std::vector<std::string>{"fc-5", "fc-4"});
  CHECK(all_of(f, {.workspace = ann, .until = page.calls[1].created_at}, 100) ==
        std::vector<std::string>{"fc-2", "fc-1"});
}

TEST_CASE("a list of many calls comes in pages, each call once, after a restart too") {
  Fixture f;
  std::set<std::string> names;
  for (int i = 0; i < 1'500; ++i) {
    const std::string name = "fc-" + std::to_string(i);
    create(f, name, i % 3 == 0 ? Durability::memory : Durability::durable);
    if (i % 100 == 0) {
      finish_all(f);
    }
    names.insert(name);
  }
  const auto as_set = [](const std::vector<std::string>& ids) {
    CHECK(std::set(ids.begin(), ids.end()).size() == ids.size());
    return std::set(ids.begin(), ids.end());
  };
  CHECK(as_set(all_of(f, {.workspace = ann}, 100)) == names);
  auto parts = as_set(all_of(f, {.workspace = ann, .state = State::unfinished}, 100));
  parts.merge(as_set(all_of(f, {.workspace = ann, .state = State::finished}, 100)));
  CHECK(parts == names);
  f.reopen();
  CHECK(as_set(all_of(f, {.workspace = ann}, 7)).size() == 1'000);
  CHECK(all_of(f, {.workspace = model::WorkspaceId("ac-bob")}, 100).empty());
}

TEST_CASE("where a list goes on names no call of another workspace") {
  Fixture f;
  const model::WorkspaceId bob("ac-bob");
  for (int i = 0; i < 3; ++i) {
    create(f, "fc-ann-" + std::to_string(i), Durability::memory);
    for (int j = 0; j < 2'000; ++j) {
      const std::string name = "fc-bob-" + std::to_string(i) + "-" + std::to_string(j);
      create(f, name, Durability::memory, bob, j % 2 == 0 ? "fu-1" : "fu-bob");
    }
  }
  std::vector<std::string> ids;
  std::string cursor;
  do {
    const CallPage page = page_of(f, {.workspace = ann}, cursor, 1);
    for (const ListedCall& call : page.calls) {
      ids.push_back(call.id.str());
    }
    cursor = page.next;
    CHECK(cursor.find("bob") == std::string::npos);
  } while (!cursor.empty());
  CHECK(ids == std::vector<std::string>{"fc-ann-2", "fc-ann-1", "fc-ann-0"});
}

TEST_CASE("what is no place in a list is refused") {
  Fixture f;
  for (const char* cursor : {"x", "12", "12x", "999999999999999999999 fc-1"}) {
    const auto page = f.loop.run_task(f.queue->list({.workspace = ann}, cursor, 10));
    REQUIRE(!page);
    CHECK(page.error().code() == Code::invalid_argument);
  }
}
