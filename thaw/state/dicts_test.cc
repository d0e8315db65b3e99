// SPDX-License-Identifier: Apache-2.0
// Dicts, in virtual time.
#include <doctest/doctest.h>

#include "thaw/state/state_fixture_test.h"

using namespace thaw;
using namespace thaw::state;
using Existing = Dicts::Existing;

TEST_CASE("what was put is found, replaced, popped and gone") {
  Fixture f;
  CHECK(f.get("a") == "(none)");
  CHECK(f.put("a", "1") == 1);
  CHECK(f.put("a", "2") == 0);
  CHECK(f.put("a", "3", Existing::keep) == 0);
  CHECK(f.put("b", "3", Existing::keep) == 1);
  CHECK(f.get("a") == "2");
  CHECK(f.size() == 2);
  CHECK(f.await(f.state->dicts().contains(f.dict, "b")).value());
  CHECK_FALSE(f.await(f.state->dicts().contains(f.dict, "c")).value());
  CHECK(f.pop("a") == "2");
  CHECK(f.pop("a") == "(none)");
  CHECK(f.keys() == "b");
  f.check_counts();
}

TEST_CASE("keys and values are bytes, and two dicts have nothing in common") {
  Fixture f;
  const std::string odd("\0\xff'", 3);
  f.put(odd, odd);
  f.put("", "of the empty key");
  CHECK(f.get(odd) == odd);
  CHECK(f.get("") == "of the empty key");
  CHECK(f.keys() == odd);
  CHECK(f.size() == 2);
  f.dict.id = "di-2";
  CHECK(f.get(odd) == "(none)");
  CHECK(f.size() == 0);
}

TEST_CASE("an acknowledged put is there after a crash") {
  Fixture f;
  f.put("a", "1");
  f.put("a", "2");
  f.reopen();
  CHECK(f.get("a") == "2");
  CHECK(f.disk.used("ac-1", store::DiskShares::Kind::state) == 2 + overhead);
}

TEST_CASE("a request that comes again has the same answer and changes nothing, after a crash too") {
  for (const bool crash : {false, true}) {
    CAPTURE(crash);
    Fixture f;
    const auto between = [&] {
      if (crash) {
        f.reopen();
      }
    };
    CHECK(f.put("a", "1", Existing::keep, "r1") == 1);
    between();
    CHECK(f.put("a", "1", Existing::keep, "r1") == 1);
    CHECK(f.put("a", "1", Existing::keep, "r2") == 0);
    f.put("a", "2", Existing::replace, "r3");
    CHECK(f.pop("a", "r4") == "2");
    between();
    f.put("a", "newer");
    CHECK(f.put("a", "2", Existing::replace, "r3") == 0);
    CHECK(f.pop("a", "r4") == "2");
    CHECK(f.get("a") == "newer");
    REQUIRE(f.await(f.state->dicts().clear(f.dict, RequestKey("r5"))));
    f.put("b", "after the clear");
    between();
    REQUIRE(f.await(f.state->dicts().clear(f.dict, RequestKey("r5"))));
    CHECK(f.keys() == "b");
    f.check_counts();
  }
}

TEST_CASE("a key of a request of another workspace is another one") {
  Fixture f;
  CHECK(f.put("a", "1", Existing::keep, "r1") == 1);
  f.dict.workspace = model::WorkspaceId("ac-2");
  f.dict.id = "di-2";
  CHECK(f.put("a", "1", Existing::keep, "r1") == 1);
  CHECK(f.pop("a", "r2") == "1");
}

TEST_CASE("remembered answers are bounded, the oldest go first, and all end") {
  StateLimits limits;
  limits.answers = 3;
  limits.answer_bytes = 100;
  Fixture f(limits);
  for (const char* request : {"r1", "r2", "r3", "r4"}) {
    f.put("a", request, Existing::replace, request);
  }
  CHECK(f.number("SELECT count(*) FROM state_answers") == 3);
  CHECK(f.number("SELECT count(*) FROM state_answers WHERE request = 'r1'") == 0);
  f.put("large", std::string(1'000, 'x'));
  f.put("larger", std::string(2'000, 'x'));
  CHECK(f.pop("large", "r5").size() == 1'000);
  CHECK(f.number("SELECT count(*) FROM state_answers") == 1);
  CHECK(f.pop("larger", "r6").size() == 2'000);
  CHECK(f.number("SELECT count(*) FROM state_answers") == 1);
  f.check_counts();
  f.passes(f.limits.remember + 1s);
  REQUIRE(f.await(f.state->sweep()));
  CHECK(f.number("SELECT count(*) FROM state_answers") == 0);
  CHECK(f.number("SELECT answer_bytes FROM state_uses") == 0);
  f.check_counts();
}

TEST_CASE("an update is made wholly or not at all") {
  StateLimits limits;
  limits.entries = 3;
  Fixture f(limits);
  f.put("a", "1");
  const auto refused =
      f.await(f.state->dicts().update(f.dict, {{"a", "2"}, {"b", "2"}, {"c", "2"}, {"d", "2"}},
                                      Existing::replace, RequestKey("r")));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(refused.error().message().find("entries_per_workspace") != std::string::npos);
  CHECK(f.get("a") == "1");
  CHECK(f.size() == 1);
  f.check_counts();
}

TEST_CASE("who fills its share can read, replace and remove, and another workspace goes on") {
  StateLimits limits;
  limits.bytes = 2'000;
  Fixture f(limits);
  const std::string value(300, 'x');
  int taken = 0;
  while (f.code(f.state->dicts().update(f.dict, {{"k" + std::to_string(taken), value}},
                                        Existing::replace, {})) == Code::ok) {
    ++taken;
  }
  CHECK(taken == 4);
  CHECK(f.put("k1", std::string(300, 'y')) == 0);
  CHECK(f.get("k0") == value);
  CHECK(f.code(f.putting({"in a queue"})) == Code::ok);
  CHECK(f.code(f.putting({value})) == Code::resource_exhausted);
  Object other{Object::Kind::dict, "di-2", model::WorkspaceId("ac-2")};
  CHECK(f.code(f.state->dicts().update(other, {{"a", value}}, Existing::replace, {})) == Code::ok);
  CHECK(f.pop("k0") == value);
  CHECK(f.put("again", value) == 1);
  f.check_counts();
}

TEST_CASE("what is too large can never be taken, and the error says how much can") {
  StateLimits limits;
  limits.key_bytes = 10;
  limits.value_bytes = 20;
  limits.update_entries = 2;
  Fixture f(limits);
  const auto try_update = [&](std::vector<Entry> entries) {
    const auto result =
        f.await(f.state->dicts().update(f.dict, std::move(entries), Existing::replace, {}));
    return result ? std::string() : result.error().message();
  };
  CHECK(try_update({{std::string(11, 'k'), ""}}).find("10 bytes") != std::string::npos);
  CHECK(try_update({{"k", std::string(21, 'v')}}).find("20 bytes") != std::string::npos);
  CHECK(try_update({{"a", ""}, {"b", ""}, {"c", ""}}).find("2 at once") != std::string::npos);
  CHECK(try_update({{"a", ""}, {"b", ""}}).empty());
  CHECK(f.code(f.state->dicts().update(f.dict, {{"a", ""}}, Existing::replace,
                                       RequestKey(std::string(256, 'r')))) ==
        Code::invalid_argument);
}

TEST_CASE("a value that is larger than asked for is only measured") {
  Fixture f;
  f.put("a", std::string(5'000, 'x'));
  const auto found = f.await(f.state->dicts().get(f.dict, "a", 4'999));
  REQUIRE(found);
  CHECK(found->is_found);
  CHECK(found->left_out == 5'000);
  CHECK(found->value.empty());
}

TEST_CASE("each entry that is there all the time is read once, whatever is written meanwhile") {
  Fixture f;
  std::vector<Entry> entries;
  std::set<std::string> expected;
  for (int i = 0; i < 1'000; ++i) {
    entries.push_back({"k" + std::to_string(i), std::string(100, 'x')});
    expected.insert(entries.back().key);
  }
  REQUIRE(f.await(f.state->dicts().update(f.dict, std::move(entries), Existing::replace, {})));
  std::multiset<std::string> seen;
  std::optional<std::string> after;
  int turn = 0;
  while (true) {
    const auto page = f.await(f.state->dicts().read(f.dict, after, Dicts::Values::read));
    REQUIRE(page);
    if (page->empty()) {
      break;
    }
    for (const Entry& entry : *page) {
      seen.insert(entry.key);
      CHECK(entry.value.size() == 100);
    }
    after = page->back().key;
    f.put("k" + std::to_string(++turn), std::string(100, 'y'));
    f.put("new" + std::to_string(turn), std::string(100, 'y'));
  }
  CHECK(turn > 2);
  for (const std::string& key : expected) {
    CHECK(seen.count(key) == 1);
  }
}

TEST_CASE("a page of entries is bounded by its bytes, and has at least one") {
  Fixture f;
  const std::string large(700u << 10, 'x');
  for (const char* key : {"a", "b", "c"}) {
    f.put(key, large);
  }
  const auto page = f.await(f.state->dicts().read(f.dict, std::nullopt, Dicts::Values::read));
  REQUIRE(page);
  REQUIRE(page->size() == 1);
  CHECK(page->front().value == large);
  CHECK(f.keys() == "abc");
}

TEST_CASE("an entry that is neither read nor written for a week ends, and a read keeps it") {
  Fixture f;
  f.put("read", "1");
  f.put("written", "1");
  f.put("left", "1");
  const Duration day = std::chrono::hours(24);
  for (int i = 0; i < 6; ++i) {
    f.passes(day);
    CHECK(f.get("read") == "1");
    f.put("written", "1");
  }
  CHECK(f.await(f.state->dicts().contains(f.dict, "left")).value());
  f.passes(f.limits.keep_entries + f.limits.touch_every + 1s);
  CHECK(f.get("read") == "(none)");
  CHECK(f.put("written", "2", Existing::keep) == 1);
  REQUIRE(f.await(f.state->sweep()));
  CHECK(f.keys() == "written");
  CHECK(f.size() == 1);
  f.check_counts();
}

TEST_CASE("a read entry outlives one that is not, by the time of its read") {
  Fixture f;
  f.put("a", "1");
  f.put("b", "1");
  f.passes(std::chrono::hours(24 * 5));
  CHECK(f.get("a") == "1");
  f.passes(std::chrono::hours(24 * 5));
  REQUIRE(f.await(f.state->sweep()));
  CHECK(f.keys() == "a");
  f.passes(std::chrono::hours(24 * 5));
  REQUIRE(f.await(f.state->sweep()));
  CHECK(f.keys() == "a");  // iterating is reading
  f.check_counts();
}

TEST_CASE("a large dict is cleared and erased a piece at a time, and what follows stays") {
  Fixture f;
  for (int round = 0; round < 3; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 900; ++i) {
      entries.push_back({std::to_string(round) + "-" + std::to_string(i), "v"});
    }
    REQUIRE(f.await(f.state->dicts().update(f.dict, std::move(entries), Existing::replace, {})));
  }
  CHECK(f.size() == 2'700);
  REQUIRE(f.await(f.state->dicts().clear(f.dict, {})));
  CHECK(f.size() == 0);
  f.put("after", "1");
  CHECK(f.keys() == "after");
  f.check_counts();
  REQUIRE(f.await(f.state->erase(f.dict)));
  CHECK(f.number("SELECT count(*) FROM state_objects") == 0);
  CHECK(f.number("SELECT count(*) FROM state_entries") == 0);
  CHECK(f.disk.used("ac-1", store::DiskShares::Kind::state) == 0);
}

TEST_CASE("a thousand dicts are found by whoever removes what is left") {
  Fixture f;
  for (int i = 0; i < 1'000; ++i) {
    f.dict.id = "di-" + std::to_string(i);
    f.put("a", "1");
  }
  std::set<std::string> ids;
  std::string after;
  while (true) {
    const auto page = f.await(f.state->objects(after, 300));
    REQUIRE(page);
    if (page->empty()) {
      break;
    }
    for (const Object& object : *page) {
      ids.insert(object.id);
    }
    after = page->back().id;
  }
  CHECK(ids.size() == 1'000);
  f.check_counts();
}
