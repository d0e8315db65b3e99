// SPDX-License-Identifier: Apache-2.0
// What of the life of containers comes to the ledger, and to whom it is charged.
#include <algorithm>

#include "thaw/control/fleet_house_test.h"

namespace thaw::control {

namespace {

using meter::Part;

const meter::Line& line_of(const FleetHouse& f, const std::string& call) {
  const auto found = std::find_if(f.ledger.lines.begin(), f.ledger.lines.end(),
                                  [&](const auto& one) { return one.start.call.str() == call; });
  REQUIRE(found != f.ledger.lines.end());
  return *found;
}

std::int64_t us(const FleetHouse& f, Part part) { return meter::of(f.ledger.sums, part).us; }

std::vector<queue::OwedLine> owed(FleetHouse& f) {
  std::vector<queue::OwedLine> lines;
  const auto body = [](FleetHouse& house, std::vector<queue::OwedLine>& out) -> async::Task<void> {
    THAW_CO_TRY(out, co_await house.queue->owed(100));
    co_return ok();
  };
  f.await(body(f, lines));
  return lines;
}

}  // namespace

TEST_CASE("a call from zero is charged its start and its time, and what is kept warm is not its") {
  FleetHouse f;
  f.call("fc-1");
  f.passes(1s);
  f.polls(0);
  f.passes(2s);
  REQUIRE(f.taken.size() == 1);
  f.finishes(f.taken[0], 0);
  f.passes(60s);  // past its window
  CHECK(!f.lives(0));
  const meter::Line& line = line_of(f, "fc-1");
  CHECK(line.outcome == "success");
  CHECK(line.start.level == model::Level::booted);
  CHECK(line.start.attempt == 1);
  CHECK(line.cold_us > 0);
  CHECK(line.share_us == line.run_us);
  CHECK(line.share_us >= 2'000'000);
  CHECK(!line.tokens.in);
  CHECK(us(f, Part::calls) == line.share_us);
  CHECK(us(f, Part::cold) == line.cold_us);
  CHECK(us(f, Part::kept_warm) > 0);
  CHECK(us(f, Part::background) == 0);
  REQUIRE(f.ledger.spans.size() == 1);
  CHECK(f.ledger.spans.begin()->second.facts.cause == meter::Cause::call);
  CHECK(f.ledger.spans.begin()->second.life == meter::Life::over);
}

TEST_CASE("the line of a durable call is on disk with its outcome until the ledger has it") {
  FleetHouse f;
  f.ledger.error = Error::resource_exhausted("the disk is full");
  f.call("fc-1");
  f.passes(1s);
  f.polls(0);
  f.passes(1s);
  f.finishes(f.taken.at(0), 0);
  f.passes(5s);
  REQUIRE(owed(f).size() == 1);
  CHECK(owed(f)[0].id == f.taken[0].input.str() + "#1");
  CHECK(f.ledger.lines.empty());
  f.ledger.error.reset();
  f.passes(5s);
  CHECK(owed(f).empty());
  CHECK(f.ledger.lines.size() == 1);
}

TEST_CASE("each delivery has a line, and one that its container did not survive says so") {
  FleetHouse f;
  f.call("fc-1");
  f.passes(1s);
  f.polls(0);
  f.passes(1s);
  f.container(0).fake.end({.signal = 9, .killed_as_a_whole = true});
  f.passes(2s);
  f.polls(1);
  f.passes(1s);
  f.finishes(f.taken.at(1), 1);
  f.passes(2s);
  REQUIRE(f.ledger.lines.size() == 2);
  CHECK(f.ledger.lines[0].outcome == "internal_failure");
  CHECK(f.ledger.lines[0].start.attempt == 1);
  CHECK(f.ledger.lines[1].outcome == "success");
  CHECK(f.ledger.lines[1].start.attempt == 2);
}

TEST_CASE("a container that is kept without a call is kept warm from its first moment on") {
  FleetHouse f;
  f.spec.scaling.min_containers = 1;
  f.publish();
  f.fleet->refresh(f.spec.id);
  f.passes(1s);
  f.polls(0);
  f.passes(30s);
  REQUIRE(f.ledger.spans.size() == 1);
  CHECK(f.ledger.spans.begin()->second.facts.cause == meter::Cause::min);
  CHECK(us(f, Part::kept_warm) >= 20'000'000);
  CHECK(us(f, Part::calls) + us(f, Part::cold) + us(f, Part::background) == 0);
}

TEST_CASE("an exchange at a port has a line with its token, and takes its part of the time") {
  FleetHouse f;
  f.spec.scaling.max_concurrent_inputs = 2;
  f.publish();
  f.fleet->refresh(f.spec.id);
  f.call("fc-1");
  f.passes(1s);
  f.polls(0);
  f.passes(1s);
  const auto lease =
      f.fleet->try_lease_port(model::Target(f.spec.id), {.token = model::TokenId("ak-1")});
  REQUIRE(lease);
  f.passes(2s);
  f.fleet->return_port(*lease, PortUse::answered);
  f.passes(1s);
  f.finishes(f.taken.at(0), 0);
  f.passes(2s);
  REQUIRE(f.ledger.lines.size() == 2);
  const auto& exchange = f.ledger.lines[0];
  CHECK(exchange.start.kind == meter::LineStart::Kind::exchange);
  CHECK(exchange.start.token.str() == "ak-1");
  CHECK(exchange.run_us == 2'000'000);
  CHECK(exchange.share_us == 1'000'000);
  CHECK(line_of(f, "fc-1").share_us == us(f, Part::calls) - 1'000'000);
}

}  // namespace thaw::control
