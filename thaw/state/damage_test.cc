// SPDX-License-Identifier: Apache-2.0
// What is stored is not what was written: the others go on, and it is said.
#include <doctest/doctest.h>

#include "thaw/state/detail/answer_codec.h"
#include "thaw/state/detail/checksum.h"
#include "thaw/state/state_fixture_test.h"

using namespace thaw;
using namespace thaw::state;

TEST_CASE("a damaged value is no wrong answer: it is set aside, and the others are read") {
  Fixture f;
  for (const char* key : {"a", "b", "c", "d"}) {
    f.put(key, "value");
  }
  f.run_sql("UPDATE state_entries SET value = x'00' WHERE key IN (x'61', x'62', x'63')");
  f.reopen();
  CHECK(f.code(f.state->dicts().get(f.dict, "a", 100)) == Code::data_loss);
  CHECK(f.get("a") == "(none)");
  CHECK(f.code(f.state->dicts().pop(f.dict, "b", {})) == Code::data_loss);
  CHECK(f.pop("b") == "(none)");
  const auto page = f.await(f.state->dicts().read(f.dict, std::nullopt, Dicts::Values::read));
  REQUIRE(page);
  REQUIRE(page->size() == 1);
  CHECK(page->front().key == "d");
  CHECK(f.set_aside() == 3);
  CHECK(f.size() == 1);
  f.check_counts();
}

TEST_CASE("a damaged item is passed over") {
  Fixture f;
  f.give({"a", "b", "c"});
  f.run_sql("UPDATE state_items SET value = 'other' WHERE number = 1");
  f.reopen();
  const auto seen = f.await(f.state->queues().look(f.queue, "", 0, {}));
  REQUIRE(seen);
  CHECK(seen->size() == 2);
  CHECK(f.take(2) == "b");
  CHECK(f.take(2) == "c");
  CHECK(f.set_aside() == 1);
  f.check_counts();
}

TEST_CASE("when all that a take finds is damaged, the next one gets what follows") {
  Fixture f;
  f.give({"a", "b"});
  f.run_sql("UPDATE state_items SET value = 'other' WHERE number = 1");
  CHECK(f.await(f.taking(1, 10s)).value() == std::vector<std::string>{"b"});
}

TEST_CASE("what counts records is counted anew when it is not what was written") {
  const char* const damages[] = {
      "UPDATE state_objects SET entries = 'many'",
      "UPDATE state_objects SET bytes = -5, next = 0",
      "UPDATE state_objects SET workspace = x'00'",
      "DELETE FROM state_objects",
      "UPDATE state_uses SET entries = 1000000000, bytes = 'x', answers = 7",
      "DELETE FROM state_uses",
      "UPDATE state_partitions SET items = 'x', until_us = 'never'",
      "DELETE FROM state_partitions",
  };
  for (const char* const damage : damages) {
    CAPTURE(damage);
    Fixture f;
    f.put("a", "1");
    f.put("b", "1");
    f.give({"x", "y"});
    f.run_sql(damage);
    f.reopen();
    CHECK(f.get("a") == "1");
    f.put("c", "1");
    CHECK(f.size() == 3);
    CHECK(f.keys() == "abc");
    f.give({"z"});
    CHECK(f.take() != "");
    f.reopen();
    f.give({"last"});
    std::string all;
    for (std::string one = f.take(); !one.empty(); one = f.take()) {
      all += one;
    }
    CHECK(all.ends_with("last"));
    f.reopen();
    f.check_counts();
  }
}

TEST_CASE("what belongs to nobody any more is swept all the same") {
  Fixture f;
  f.put("a", "1");
  f.give({"x"});
  f.run_sql("DELETE FROM state_objects");
  f.reopen();
  f.passes(std::chrono::hours(24 * 8));
  REQUIRE(f.await(f.state->sweep()));
  CHECK(f.number("SELECT count(*) FROM state_entries") == 0);
  CHECK(f.number("SELECT count(*) FROM state_items") == 0);
}

TEST_CASE("a damaged answer is an error and takes nothing else") {
  Fixture f;
  f.give({"a", "b"});
  CHECK(f.take(1, "r") == "a");
  f.run_sql("UPDATE state_answers SET answer = x'ff'");
  CHECK(f.code(f.taking(1, {}, "r")) == Code::data_loss);
  CHECK(f.take() == "b");
}

TEST_CASE("answers come back as they were written, and nothing else is read as one") {
  using namespace thaw::state::detail;
  Taken taken;
  taken.partition = std::string("p\0q", 3);
  taken.until = WallTime(std::chrono::microseconds(-5));
  taken.items = {{1, ""}, {1'000'000'000'000, std::string(300, '\xff')}};
  const std::string bytes = encode_taken(taken);
  const auto read = decode_taken(bytes);
  REQUIRE(read);
  CHECK(read->partition == taken.partition);
  CHECK(read->until == taken.until);
  REQUIRE(read->items.size() == 2);
  CHECK(read->items[1].number == 1'000'000'000'000);
  CHECK(read->items[1].value == taken.items[1].value);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto part = decode_taken(std::string_view(bytes).substr(0, size));
    CHECK((!part || part->items.size() < 2));
  }
  std::string huge = bytes;
  huge[7] = '\x7f';
  CHECK_FALSE(decode_taken(huge));
  CHECK(decode_count(encode_count(42)).value() == 42);
  CHECK_FALSE(decode_count("1234567"));
  CHECK_FALSE(decode_count("123456789"));
}

TEST_CASE("a checksum sees every bit, and where one part ends") {
  using state::detail::checksum;
  const std::string value = "the value of an entry";
  const std::int64_t sum = checksum("k", value);
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string other = value;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
    CHECK(checksum("k", other) != sum);
  }
  CHECK(checksum("ke", "y") != checksum("k", "ey"));
  CHECK(checksum("", std::string(1, '\0')) != checksum("", ""));
}
