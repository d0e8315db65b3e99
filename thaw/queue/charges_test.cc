// SPDX-License-Identifier: Apache-2.0
// The line of a delivery is on disk with its outcome, or neither is.
#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;

namespace {

std::vector<OwedLine> owed(Fixture& f) {
  auto lines = f.loop.run_task(f.queue->owed(100));
  REQUIRE(lines);
  return *lines;
}

LeasedInput lease_one(Fixture& f, const std::string& container) {
  auto leased = f.queue->lease(model::Target(f.function), Fixture::container(container), 1);
  REQUIRE(leased.size() == 1);
  return leased.front();
}

}  // namespace

TEST_CASE("a durable outcome and its line come together, and stay until they are settled") {
  Fixture f;
  model::NewCall made = f.call("fc-1", model::Durability::durable);
  made.token = model::TokenId("ak-1");
  made.origin = model::Origin::schedule;
  f.create(std::move(made), {"a"});
  f.reopen();
  const LeasedInput leased = lease_one(f, "ta-1");
  CHECK(leased.token.str() == "ak-1");
  CHECK(leased.origin == model::Origin::schedule);
  f.queue->owe(leased.input, Fixture::container("ta-2"), {"other#1", "of another container"});
  f.queue->owe(leased.input, Fixture::container("ta-1"), {"in#1", "line"});
  CHECK(owed(f).empty());
  REQUIRE(f.loop.run_task(
      f.queue->complete(leased.input, Fixture::container("ta-1"), Fixture::success("b"))));
  f.reopen();
  REQUIRE(owed(f).size() == 1);
  CHECK(owed(f)[0].id == "in#1");
  CHECK(owed(f)[0].line == "line");
  f.queue->settle({"in#1", "never#1"});
  f.reopen();
  CHECK(owed(f).empty());
}

TEST_CASE("a delivery that is tried again leaves its line too, and the next one has another") {
  Fixture f;
  model::NewCall made = f.call("fc-1", model::Durability::durable);
  made.retry.max_retries = 1;
  made.retry.initial_delay = Duration::zero();
  f.create(std::move(made), {"a"});
  LeasedInput leased = lease_one(f, "ta-1");
  f.queue->owe(leased.input, Fixture::container("ta-1"), {"in#1", "first"});
  REQUIRE(f.loop.run_task(f.queue->complete(leased.input, Fixture::container("ta-1"),
                                            {model::OutcomeKind::failure, {"no"}})));
  f.reopen();
  leased = lease_one(f, "ta-1");
  f.queue->owe(leased.input, Fixture::container("ta-1"), {"in#2", "second"});
  REQUIRE(f.loop.run_task(
      f.queue->complete(leased.input, Fixture::container("ta-1"), Fixture::success("b"))));
  REQUIRE(owed(f).size() == 2);
  CHECK(owed(f)[0].id == "in#1");
  CHECK(owed(f)[1].id == "in#2");
}

TEST_CASE("a call in memory leaves nothing on disk") {
  Fixture f;
  f.create(f.call("fc-1"), {"a"});
  const LeasedInput leased = lease_one(f, "ta-1");
  f.queue->owe(leased.input, Fixture::container("ta-1"), {"in#1", "line"});
  REQUIRE(f.loop.run_task(
      f.queue->complete(leased.input, Fixture::container("ta-1"), Fixture::success("b"))));
  CHECK(owed(f).empty());
}
