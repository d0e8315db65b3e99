// SPDX-License-Identifier: Apache-2.0
// Calls that are made once for a key of their caller's.
#include <doctest/doctest.h>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;

namespace {

constexpr Durability both[] = {Durability::memory, Durability::durable};

Result<Created> once(Fixture& f, const std::string& name, Durability durability,
                     const std::string& key, const std::string& fingerprint = "same",
                     const std::string& workspace = "ac-ann") {
  model::NewCall call = f.call(name, durability);
  call.workspace = model::WorkspaceId(workspace);
  return f.loop.run_task(
      f.queue->create_once(std::move(call), Fixture::inputs({"in"}), {key, fingerprint}));
}

}  // namespace

TEST_CASE("a key makes one call, however often it is asked for") {
  for (const Durability durability : both) {
    Fixture f;
    const auto first = once(f, "fc-1", durability, "key");
    REQUIRE(first);
    CHECK(first->was == Created::Was::made);
    CHECK(first->inputs.size() == 1);
    const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
    REQUIRE(leases.size() == 1);
    f.complete(leases[0].input, "ta-1", model::OutcomeKind::success, "out");
    for (int round = 0; round < 3; ++round) {
      const auto again = once(f, "fc-2", durability, "key");
      REQUIRE(again);
      CHECK(again->was == Created::Was::there);
      CHECK(again->id.str() == "fc-1");
      if (durability == Durability::durable) {
        f.reopen();
      }
    }
    CHECK(f.queue->lease(f.function, f.container("ta-1"), 10).empty());
    // Another key, another workspace, another request.
    CHECK(once(f, "fc-3", durability, "other")->was == Created::Was::made);
    CHECK(once(f, "fc-4", durability, "key", "same", "ac-bob")->was == Created::Was::made);
    const auto other = once(f, "fc-5", durability, "key", "another request");
    REQUIRE(!other);
    CHECK(other.error().code() == Code::failed_precondition);
    CHECK(other.error().message().find("fc-1") != std::string::npos);
  }
}

TEST_CASE("a key of a durable call holds for a synchronous one, and the other way round") {
  Fixture f;
  REQUIRE(once(f, "fc-1", Durability::durable, "a"));
  CHECK(once(f, "fc-2", Durability::memory, "a")->id.str() == "fc-1");
  REQUIRE(once(f, "fc-3", Durability::memory, "b"));
  CHECK(once(f, "fc-4", Durability::durable, "b")->id.str() == "fc-3");
}

TEST_CASE("of two who ask at the same time with one key, one makes the call") {
  for (const Durability durability : both) {
    Fixture f;
    std::vector<Created> made;
    const auto body = [](Fixture& at, std::string name, Durability how,
                         std::vector<Created>& out) -> async::Task<void> {
      model::NewCall call = at.call(name, how);
      std::vector<model::NewInput> inputs = Fixture::inputs({"in"});
      Once key{"key", "same"};
      THAW_CO_TRY(Created created, co_await at.queue->create_once(
                                       std::move(call), std::move(inputs), std::move(key)));
      out.push_back(std::move(created));
      co_return ok();
    };
    for (int i = 0; i < 5; ++i) {
      f.tasks.start("asks", body(f, "fc-" + std::to_string(i), durability, made));
    }
    f.join();
    REQUIRE(made.size() == 5);
    int new_ones = 0;
    for (const Created& created : made) {
      CHECK(created.id == made[0].id);
      new_ones += created.was == Created::Was::made ? 1 : 0;
    }
    CHECK(new_ones == 1);
    CHECK(f.queue->lease(f.function, f.container("ta-1"), 10).size() == 1);
  }
}

TEST_CASE("a key whose call could not be made is free, and a key has a size") {
  Fixture f;
  f.limits.ready_per_function = 1;
  f.reopen();
  for (const Durability durability : both) {
    CHECK(!once(f, "fc-0", durability, "").has_value());
    CHECK(!once(f, "fc-0", durability, std::string(256, 'k')).has_value());
  }
  f.create(f.call("fc-1"), {"in"});
  for (const Durability durability : both) {
    CHECK(once(f, "fc-2", durability, "key").error().code() == Code::resource_exhausted);
  }
  REQUIRE(f.queue->lease(f.function, f.container("ta-1"), 1).size() == 1);
  CHECK(once(f, "fc-3", Durability::memory, "key")->was == Created::Was::made);
}
