// SPDX-License-Identifier: Apache-2.0
// Item queues, in virtual time.
#include <doctest/doctest.h>

#include "thaw/state/state_fixture_test.h"

using namespace thaw;
using namespace thaw::state;

TEST_CASE("items are taken in the order in which they were put, each once") {
  Fixture f;
  f.give({"a", "b"});
  f.give({"c"});
  CHECK(f.items() == 3);
  CHECK(f.take() == "a");
  CHECK(f.take(10) == "bc");
  CHECK(f.take().empty());
  CHECK(f.items() == 0);
  f.check_counts();
}

TEST_CASE("partitions are queues of their own, and all are counted") {
  Fixture f;
  f.give({"a"});
  f.give({"b", "c"}, "p");
  CHECK(f.take(5, "", "p") == "bc");
  CHECK(f.take(5, "", "q").empty());
  f.give({"d"}, "q");
  const auto all = f.await(f.state->queues().size_of_all(f.queue));
  REQUIRE(all);
  CHECK(all->items == 2);
  CHECK(all->partitions == 2);
  f.check_counts();
}

TEST_CASE("an acknowledged put is there after a crash, and what was taken is not") {
  Fixture f;
  f.give({"a", "b", "c"});
  CHECK(f.take() == "a");
  f.reopen();
  CHECK(f.take(10) == "bc");
}

TEST_CASE("who asks again for what it took gets the same items, also after a crash") {
  for (const bool crash : {false, true}) {
    CAPTURE(crash);
    Fixture f;
    f.give({"a", "b", "c"}, "", "put 1");
    f.give({"a", "b", "c"}, "", "put 1");
    CHECK(f.items() == 3);
    CHECK(f.take(2, "take 1") == "ab");
    if (crash) {
      f.reopen();
    }
    CHECK(f.take(2, "take 1") == "ab");
    CHECK(f.take(2, "take 2") == "c");
    CHECK(f.take(2, "take 1") == "ab");
    CHECK(f.take(2, "take 2") == "c");
    f.give({"a", "b", "c"}, "", "put 1");
    CHECK(f.items() == 0);
    f.check_counts();
  }
}

TEST_CASE("a wait ends with an item, or at its deadline with none") {
  Fixture f;
  auto one = f.start(f.taking(1, 10s));
  auto other = f.start(f.taking(1, 20s, "", "other"));
  f.passes(1s);
  CHECK(f.state->queues().waits() == 2);
  f.give({"a"});
  f.passes(1ms);
  CHECK(Fixture::joined(one.result().value()) == "a");
  f.passes(20s);
  CHECK(other.result().value().empty());
  CHECK(f.state->queues().waits() == 0);
}

TEST_CASE("who has waited longest gets the next item") {
  Fixture f;
  std::vector<Fixture::Started<std::vector<std::string>>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(f.start(f.taking(1, 100s)));
    f.passes(1s);
  }
  for (int i = 0; i < 5; ++i) {
    f.give({std::to_string(i)});
    f.passes(1s);
    CHECK(Fixture::joined(waiting[static_cast<std::size_t>(i)].result().value()) ==
          std::to_string(i));
  }
}

TEST_CASE("one put of many items serves many who wait, and one wake may leave some for others") {
  Fixture f;
  std::vector<Fixture::Started<std::vector<std::string>>> waiting;
  for (int i = 0; i < 6; ++i) {
    waiting.push_back(f.start(f.taking(i == 0 ? 3 : 1, 100s)));
    f.passes(1ms);
  }
  f.give({"a", "b", "c", "d", "e"});
  f.passes(10ms);
  std::string all;
  std::size_t done = 0;
  for (auto& one : waiting) {
    if (one.is_done()) {
      all += Fixture::joined(one.result().value());
      ++done;
    }
  }
  CHECK(all == "abcde");
  CHECK(done == 3);
  f.give({"f", "g", "h"});
  f.passes(10ms);
  for (auto& one : waiting) {
    CHECK(one.is_done());
  }
}

TEST_CASE("who leaves while it waits takes nothing, and the next one is woken in its place") {
  Fixture f;
  auto first = f.start(f.taking(1, 100s));
  f.passes(1s);
  auto second = f.start(f.taking(1, 100s));
  f.passes(1s);
  first.handle.cancel();
  f.passes(1ms);
  REQUIRE_FALSE(first.result());
  CHECK(first.result().error().code() == Code::cancelled);
  CHECK(f.state->queues().waits() == 1);
  f.give({"a"});
  f.passes(1ms);
  CHECK(Fixture::joined(second.result().value()) == "a");
}

TEST_CASE("what was on its way to who leaves goes back to its place") {
  // At every step of the way.
  for (int step = 0; step < 12; ++step) {
    CAPTURE(step);
    Fixture f;
    int moments = 0;
    f.time.work_time = [&moments] {
      ++moments;
      return Duration(1ms);
    };
    f.give({"a", "b", "c"});
    CHECK(f.take() == "a");
    auto leaving = f.start(f.taking(2, 0s, "left"));
    f.passes(step * 1ms);
    leaving.handle.cancel();
    f.passes(100ms);
    if (leaving.is_done() && leaving.result()) {
      CHECK(Fixture::joined(leaving.result().value()) == "bc");  // it had them before
      CHECK(f.take(5).empty());
    } else {
      CHECK(f.take(5) == "bc");
    }
    f.check_counts();
  }
}

TEST_CASE("a wake that its sleeper does not use is handed on") {
  for (int step = 0; step < 8; ++step) {
    CAPTURE(step);
    Fixture f;
    f.time.work_time = [] { return Duration(1ms); };
    auto first = f.start(f.taking(1, 100s));
    f.passes(20ms);
    auto second = f.start(f.taking(1, 100s));
    f.passes(20ms);
    auto putting = f.start(f.putting({"a"}));
    f.passes(step * 1ms);
    first.handle.cancel();
    f.passes(200ms);
    CHECK(putting.is_done());
    const bool first_has_it = first.is_done() && first.result();
    CHECK((first_has_it || second.is_done()));
    CHECK_FALSE((first_has_it && second.is_done()));
  }
}

TEST_CASE("waits are bounded for each asker and for the workspace") {
  StateLimits limits;
  limits.waits_of_asker = 2;
  limits.waits = 3;
  Fixture f(limits);
  auto a = f.start(f.taking(1, 100s));
  auto b = f.start(f.taking(1, 100s));
  f.passes(1s);
  CHECK(f.code(f.taking(1, 100s)) == Code::resource_exhausted);
  auto c = f.start(f.taking(1, 100s, "", "", "ta-2"));
  f.passes(1s);
  CHECK(f.code(f.taking(1, 100s, "", "", "ta-3")) == Code::resource_exhausted);
  f.queue = {Object::Kind::queue, "qu-2", model::WorkspaceId("ac-2")};
  auto other = f.start(f.taking(1, 100s));
  f.passes(1s);
  CHECK_FALSE(other.is_done());
  f.queue = {Object::Kind::queue, "qu-1", model::WorkspaceId("ac-1")};
  CHECK(f.take().empty());  // what does not wait is not counted
  f.give({"x", "y", "z"});
  f.passes(1s);
  CHECK(f.state->queues().waits() == 1);
}

TEST_CASE("a partition takes so many items and so many bytes, and is not full for ever") {
  StateLimits limits;
  limits.partition_items = 3;
  limits.partition_bytes = 10;
  limits.item_bytes = 8;
  Fixture f(limits);
  f.give({"a", "b", "c"});
  const auto full = f.await(f.putting({"d"}));
  REQUIRE_FALSE(full);
  CHECK(full.error().code() == Code::resource_exhausted);
  CHECK(full.error().message().find("full") != std::string::npos);
  f.give({"d"}, "another");
  CHECK(f.take() == "a");
  f.give({"d"});
  CHECK(f.code(f.putting({std::string(8, 'x')}, "another")) == Code::ok);
  CHECK(f.code(f.putting({"xx"}, "another")) == Code::resource_exhausted);
  // These fit nowhere, so waiting for room is no use.
  CHECK(f.code(f.putting({std::string(9, 'x')})) == Code::out_of_range);
  CHECK(f.code(f.putting({"a", "b", "c", "d"}, "third")) == Code::out_of_range);
  CHECK(f.code(f.putting({"12345678", "123"}, "third")) == Code::out_of_range);
  CHECK(f.code(f.putting({"a"}, std::string(65, 'p'))) == Code::invalid_argument);
  CHECK(f.code(f.putting({"a"}, "third", "", -1s)) == Code::invalid_argument);
  CHECK(f.code(f.putting({"a"}, "third", "", std::chrono::hours(24 * 8))) ==
        Code::invalid_argument);
  f.check_counts();
}

TEST_CASE("a queue has so many partitions, and one that is empty is none") {
  StateLimits limits;
  limits.partitions = 2;
  Fixture f(limits);
  f.give({"a"}, "1");
  f.give({"a"}, "2");
  CHECK(f.code(f.putting({"a"}, "3")) == Code::resource_exhausted);
  CHECK(f.take(1, "", "1") == "a");
  f.give({"a"}, "3");
  f.check_counts();
}

TEST_CASE("a partition ends some time after its last put") {
  Fixture f;
  f.give({"day"});
  f.give({"short"}, "p", "", 10s);
  f.passes(9s);
  f.give({"longer"}, "p", "", 10s);
  f.passes(9s);
  CHECK(f.items("p") == 2);
  f.passes(2s);
  CHECK(f.items("p") == 0);
  CHECK(f.take(5, "", "p").empty());
  const auto all = f.await(f.state->queues().size_of_all(f.queue));
  REQUIRE(all);
  CHECK(all->items == 1);
  CHECK(all->partitions == 1);
  f.give({"new"}, "p", "", 10s);  // what had ended is not there again
  CHECK(f.take(5, "", "p") == "new");
  f.passes(std::chrono::hours(24));
  CHECK(f.items() == 0);
  REQUIRE(f.await(f.state->sweep()));
  CHECK(f.number("SELECT count(*) FROM state_items") == 0);
  f.check_counts();
}

TEST_CASE("items are looked at without being taken, and who looks is told of new ones") {
  Fixture f;
  f.give({"a", "b"});
  const auto look = [&](std::int64_t after, Duration wait) {
    return f.state->queues().look(f.queue, "", after, {f.time.now() + wait, "ta-1"});
  };
  auto found = f.await(look(0, 0s));
  REQUIRE(found);
  REQUIRE(found->size() == 2);
  CHECK((*found)[1].value == "b");
  CHECK(f.items() == 2);
  const std::int64_t last = found->back().number;
  auto waiting = f.start(look(last, 10s));
  f.passes(1s);
  CHECK_FALSE(waiting.is_done());
  CHECK(f.take(2) == "ab");
  f.give({"c"});
  f.passes(1ms);
  REQUIRE(waiting.result());
  CHECK(waiting.result()->front().value == "c");
  CHECK(waiting.result()->front().number > last);
  CHECK(f.await(look(waiting.result()->front().number, 0s))->empty());
  auto until_deadline = f.start(look(waiting.result()->front().number, 10s));
  f.passes(11s);
  CHECK(until_deadline.result()->empty());
}

TEST_CASE("numbers go on after a crash, a clear and an empty queue: no looker misses an item") {
  Fixture f;
  const auto newest = [&](std::int64_t after) {
    const auto found = f.await(f.state->queues().look(f.queue, "", after, {}));
    REQUIRE(found);
    return found->empty() ? after : found->back().number;
  };
  f.give({"a"});
  std::int64_t last = newest(0);
  f.take();
  f.reopen();
  f.give({"b"});
  CHECK(newest(last) > last);
  last = newest(last);
  REQUIRE(f.await(f.state->queues().clear_all(f.queue, {})));
  f.give({"c"});
  CHECK(newest(last) > last);
}

TEST_CASE("one partition is cleared, or all of them") {
  Fixture f;
  f.give({"a", "b"});
  for (int i = 0; i < 1'200; ++i) {
    f.give({"x", "y"}, std::to_string(i));
  }
  REQUIRE(f.await(f.state->queues().clear(f.queue, "7", {})));
  CHECK(f.items("7") == 0);
  CHECK(f.items() == 2);
  REQUIRE(f.await(f.state->queues().clear_all(f.queue, RequestKey("c"))));
  CHECK(f.number("SELECT count(*) FROM state_items") == 0);
  CHECK(f.number("SELECT count(*) FROM state_partitions") == 0);
  f.give({"after"});
  REQUIRE(f.await(f.state->queues().clear_all(f.queue, RequestKey("c"))));
  CHECK(f.items() == 1);
  f.check_counts();
}

TEST_CASE("who waits at a queue that is deleted is told") {
  Fixture f;
  auto taking = f.start(f.taking(1, 100s));
  auto looking = f.start(f.state->queues().look(f.queue, "", 0, {f.time.now() + 100s, "ta-1"}));
  f.give({"a"}, "elsewhere");
  f.passes(1s);
  REQUIRE(f.await(f.state->erase(f.queue)));
  f.passes(1ms);
  CHECK(taking.result().error().code() == Code::not_found);
  CHECK(looking.result().error().code() == Code::not_found);
  CHECK(f.number("SELECT count(*) FROM state_items") == 0);
  CHECK(f.number("SELECT count(*) FROM state_objects") == 0);
}

TEST_CASE("one request takes no more bytes than it may, and at least one item") {
  StateLimits limits;
  limits.take_bytes = 2 * (overhead + 4);
  Fixture f(limits);
  f.give({"1234", "1234", "1234", std::string(900, 'x')});
  CHECK(f.take(10) == "12341234");
  CHECK(f.take(10) == "1234");
  CHECK(f.take(10).size() == 900);
}

TEST_CASE("many who put and take at once lose nothing and get nothing twice") {
  Fixture f;
  int turn = 0;
  f.time.work_time = [&turn] { return Duration(std::chrono::microseconds((++turn * 37) % 900)); };
  std::vector<Fixture::Started<std::vector<std::string>>> takers;
  std::vector<Fixture::Started<void>> putters;
  for (int i = 0; i < 200; ++i) {
    takers.push_back(f.start(f.taking(1, 1'000s, "t" + std::to_string(i))));
    if (i % 3 == 0) {
      f.passes(1ms);
    }
    putters.push_back(f.start(f.putting({std::to_string(i) + " "}, "", "p" + std::to_string(i))));
    if (i % 10 == 0) {
      takers[static_cast<std::size_t>(i / 2)].handle.cancel();
    }
  }
  f.passes(2s);
  std::multiset<std::string> seen;
  for (auto& one : takers) {
    if (one.is_done() && one.result()) {
      seen.insert(Fixture::joined(one.result().value()));
    }
  }
  for (std::string left = f.take(); !left.empty(); left = f.take()) {
    seen.insert(left);
  }
  CHECK(seen.size() == 200);
  CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == 200);
  f.check_counts();
}
