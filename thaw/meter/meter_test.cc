// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/meter.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "thaw/meter/testing/fake_ledger.h"

namespace thaw::meter {

namespace {

struct Bench {
  Meter meter;
  testing::FakeLedger ledger;
  Instant now{std::chrono::hours(1)};

  explicit Bench(MeterLimits limits = {}) : meter(limits) {}
  void open(const std::string& id, Cause cause, const std::string& workspace = "ac-1") {
    SpanFacts facts;
    facts.container = model::ContainerId(id);
    facts.workspace = model::WorkspaceId(workspace);
    facts.function = model::FunctionId("fu-1");
    facts.cause = cause;
    meter.open(std::move(facts), 3'000'000);
  }
  void enter(const std::string& id, State state) {
    meter.enter(model::ContainerId(id), state, now);
  }
  LineNumber begin(const std::string& id, const std::string& line) {
    LineStart start;
    start.id = line;
    return meter.begin(model::ContainerId(id), std::move(start), now);
  }
  void end(const std::string& id, LineNumber line) {
    meter.end(model::ContainerId(id), line, {.outcome = "success"}, now);
  }
  // What Metering does, without a loop to wait in.
  void write(Meter::Which which) {
    const auto group = std::make_shared<const Group>(meter.take(which, now, WallTime{}));
    if (ledger.error) {
      meter.not_written(*group);
      return;
    }
    ledger.lines.insert(ledger.lines.end(), group->lines.begin(), group->lines.end());
    for (const SpanView& span : group->spans) {
      ledger.spans[span.facts.container] = span;
      for (std::size_t i = 0; i < parts; ++i) {
        ledger.sums[i] += span.more[i];
      }
    }
    meter.written(*group);
  }
  void check() {
    for (const std::string& broken : ledger.check()) {
      FAIL_CHECK(broken);
    }
  }
  const Line& line(const std::string& id) const {
    const auto found = std::find_if(ledger.lines.begin(), ledger.lines.end(),
                                    [&](const Line& one) { return one.start.id == id; });
    REQUIRE(found != ledger.lines.end());
    return *found;
  }
};

}  // namespace

TEST_CASE("lines that are open together divide the time, and the first one pays the start") {
  Bench b;
  b.open("ta-1", Cause::call);
  b.enter("ta-1", State::starting);
  b.now += 300ms;
  b.enter("ta-1", State::idle);
  const LineNumber one = b.begin("ta-1", "one");
  b.now += 100ms;
  const LineNumber two = b.begin("ta-1", "two");
  b.now += 100ms;
  b.end("ta-1", one);
  b.now += 100ms;
  b.end("ta-1", two);
  b.now += 1s;
  b.meter.close(model::ContainerId("ta-1"), "idle", "internal_failure", b.now);
  b.write(Meter::Which::ended);
  b.check();
  CHECK(b.line("one").share_us == 150'000);
  CHECK(b.line("one").run_us == 200'000);
  CHECK(b.line("one").cold_us == 300'000);
  CHECK(b.line("two").share_us == 150'000);
  CHECK(b.line("two").cold_us == 0);
  CHECK(of(b.ledger.sums, Part::kept_warm).us == 1'000'000);
  CHECK(of(b.ledger.sums, Part::background).us == 0);
  CHECK(b.meter.open_spans() == 0);
}

TEST_CASE("a start that nobody waited for is kept warm, and one that came to nothing background") {
  Bench b;
  for (const auto& [id, cause] :
       {std::pair{"ta-min", Cause::min}, std::pair{"ta-call", Cause::call},
        std::pair{"ta-snapshot", Cause::snapshot}}) {
    b.open(id, cause);
    b.enter(id, State::starting);
  }
  b.now += 2s;
  for (const char* id : {"ta-min", "ta-call", "ta-snapshot"}) {
    b.meter.close(model::ContainerId(id), "", "internal_failure", b.now);
  }
  b.write(Meter::Which::ended);
  b.check();
  CHECK(of(b.ledger.sums, Part::kept_warm).us == 2'000'000);
  CHECK(of(b.ledger.sums, Part::background).us == 4'000'000);
}

TEST_CASE("shares are exact however many lines come and go within microseconds") {
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 dice(seed);
    const auto below = [&dice](std::uint32_t most) { return dice() % most; };
    Bench b;
    const int containers = 1 + static_cast<int>(below(4));
    struct Open {
      std::string container;
      LineNumber number;
      long double share = 0;
      std::string id;
    };
    std::vector<Open> open;
    std::map<std::string, long double> due;  // the integral of dt/k, by line
    std::set<std::string> alive;
    std::map<std::string, int> lives;  // by place: each container there has a name of its own
    int lines = 0;
    const auto passes = [&](Duration time) {
      std::map<std::string, int> k;
      for (const Open& one : open) {
        ++k[one.container];
      }
      for (Open& one : open) {
        one.share += static_cast<long double>(time.count()) / 1'000 / k[one.container];
      }
      b.now += time;
    };
    for (int step = 0; step < 400; ++step) {
      // Whole microseconds, so that what is due is known exactly.
      passes(std::chrono::microseconds(below(4) == 0 ? 0 : below(1'000)));
      const std::string place = std::to_string(below(static_cast<std::uint32_t>(containers)));
      std::string id = place + "." + std::to_string(lives[place]);
      switch (below(8)) {
        case 0:
          if (!alive.contains(id)) {
            id = place + "." + std::to_string(++lives[place]);
            b.open(id, static_cast<Cause>(below(causes - 1)));
            b.enter(id, State::starting);
            alive.insert(id);
          }
          break;
        case 1: b.enter(id, State::idle); break;
        case 2: b.enter(id, State::frozen); break;
        case 3:
        case 4:
          if (alive.contains(id)) {
            const std::string name = std::to_string(++lines);
            open.push_back({id, b.begin(id, name), 0, name});
          }
          break;
        case 5:
        case 6:
          if (!open.empty()) {
            const auto one = open.begin() + static_cast<std::ptrdiff_t>(
                                                below(static_cast<std::uint32_t>(open.size())));
            due[one->id] = one->share;
            b.end(one->container, one->number);
            open.erase(one);
          }
          break;
        default:
          b.meter.sample(model::ContainerId(id), static_cast<std::int64_t>(step) * 500,
                         below(2) << 30, b.now);
          b.write(below(2) == 0 ? Meter::Which::all : Meter::Which::ended);
          b.check();
          if (below(20) == 0 && alive.erase(id) > 0) {
            for (const Open& one : open) {
              if (one.container == id) {
                due[one.id] = one.share;
              }
            }
            std::erase_if(open, [&](const Open& one) { return one.container == id; });
            b.meter.close(model::ContainerId(id), "", "internal_failure", b.now);
          }
      }
    }
    for (const std::string& id : alive) {
      b.meter.close(model::ContainerId(id), "", "internal_failure", b.now);
    }
    for (const Open& one : open) {
      due[one.id] = one.share;
    }
    b.write(Meter::Which::ended);
    b.check();
    CHECK(of(b.ledger.sums, Part::under_way).us == 0);
    CHECK(b.meter.open_spans() == 0);
    CHECK(b.ledger.lines.size() == due.size());
    for (const Line& line : b.ledger.lines) {
      // The last of those that were open together has what the others were rounded by.
      CHECK_MESSAGE(std::abs(static_cast<double>(due[line.start.id]) -
                             static_cast<double>(line.share_us)) < 2.5,
                    "seed ", seed, " line ", line.start.id);
    }
  }
}

TEST_CASE("what could not be written is written with the next group, once") {
  Bench b;
  b.open("ta-1", Cause::call);
  b.enter("ta-1", State::idle);
  b.ledger.error = Error::resource_exhausted("the disk is full");
  for (int i = 0; i < 3; ++i) {
    const LineNumber line = b.begin("ta-1", std::to_string(i));
    b.now += 10ms;
    b.end("ta-1", line);
    b.write(Meter::Which::all);
  }
  CHECK(b.ledger.lines.empty());
  b.ledger.error.reset();
  b.write(Meter::Which::ended);
  b.check();
  CHECK(b.ledger.lines.size() == 3);
  CHECK(b.meter.counters().lost == 0);
}

TEST_CASE("who fills the buffer loses its own lines, which are counted, and no time is lost") {
  Bench b({.lines = 10, .of_workspace = 5, .ended_spans = 2});
  b.ledger.error = Error::resource_exhausted("the disk is full");
  b.open("ta-greedy", Cause::call, "ac-greedy");
  b.open("ta-other", Cause::call, "ac-other");
  b.enter("ta-greedy", State::idle);
  b.enter("ta-other", State::idle);
  for (int i = 0; i < 20; ++i) {
    const LineNumber line = b.begin("ta-greedy", "g" + std::to_string(i));
    b.now += 10ms;
    b.end("ta-greedy", line);
    b.write(Meter::Which::ended);
  }
  const LineNumber line = b.begin("ta-other", "o");
  b.now += 10ms;
  b.end("ta-other", line);
  CHECK(b.meter.counters().lost == 15);
  b.ledger.error.reset();
  b.meter.close(model::ContainerId("ta-greedy"), "", "internal_failure", b.now);
  b.write(Meter::Which::all);
  b.check();
  CHECK(b.line("o").share_us == 10'000);
  CHECK(of(b.ledger.sums, Part::background).us == 150'000);
}

TEST_CASE("a container that never began to live, and one that nobody knows, are nothing") {
  Bench b;
  b.open("ta-1", Cause::ahead);
  b.meter.forget_unbegun(model::ContainerId("ta-1"));
  b.enter("ta-1", State::idle);
  CHECK(b.begin("ta-1", "one") == 0);
  b.end("ta-1", 7);
  b.meter.close(model::ContainerId("ta-1"), "", "internal_failure", b.now);
  b.write(Meter::Which::all);
  CHECK(b.ledger.spans.empty());
}

}  // namespace thaw::meter
