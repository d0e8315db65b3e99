// SPDX-License-Identifier: Apache-2.0
#include "thaw/logs/log_hub.h"

#include <doctest/doctest.h>

#include <optional>

#include "thaw/async/task_group.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::logs;

namespace {

struct Fixture {
  store::TempFolder folder;
  HubLimits limits;
  async::Loop loop;
  async::TaskGroup tasks{loop};
  std::unique_ptr<store::Database> database;
  std::unique_ptr<LogHub> hub;

  explicit Fixture(HubLimits given = {}) : limits(given) { open(); }
  void open() {
    store::DatabaseOptions options;
    options.path = folder / "logs.db";
    options.migrations = migrations();
    options.sync = store::DatabaseOptions::Sync::normal;
    database = std::move(*store::Database::open(loop, options));
    hub = std::move(*LogHub::open(loop, *database, limits));
  }
  void reopen() {
    hub.reset();
    database.reset();
    open();
  }
  void append(const std::string& stream, const std::string& text) {
    Line line;
    line.text = text;
    hub->append(stream, std::move(line));
  }
  std::vector<Line> follow(const std::string& stream, std::uint64_t after, std::size_t max = 1000,
                           Instant deadline = monotonic_now() + 20s) {
    auto lines = loop.run_task(hub->follow(stream, after, max, deadline));
    REQUIRE(lines);
    return *lines;
  }
  std::vector<Line> find(const std::string& stream, Query query) {
    auto lines = loop.run_task(hub->find(stream, std::move(query)));
    REQUIRE(lines);
    return *lines;
  }
};

std::string texts(const std::vector<Line>& lines) {
  std::string all;
  for (const Line& line : lines) {
    all += line.text;
  }
  return all;
}

// All lines of a stream that has ended.
async::Task<std::vector<Line>> follow_to_end(LogHub& hub, std::string stream) {
  std::vector<Line> all;
  while (true) {
    const std::uint64_t after = all.empty() ? 0 : all.back().number;
    THAW_CO_TRY(std::vector<Line> lines,
                co_await hub.follow(stream, after, 777, monotonic_now() + 20s));
    if (lines.empty()) {
      co_return all;
    }
    for (Line& line : lines) {
      CHECK((all.empty() || line.number > all.back().number));
      all.push_back(std::move(line));
    }
  }
}

}  // namespace

TEST_CASE("lines come in order, with rising numbers, and from any point") {
  Fixture f;
  for (const char* text : {"a\n", "b\n", "c\n"}) {
    f.append("ap-1", text);
  }
  f.append("ap-2", "other\n");
  const auto lines = f.follow("ap-1", 0);
  CHECK(texts(lines) == "a\nb\nc\n");
  CHECK(lines[0].number == 1);
  CHECK(lines[0].time > WallTime{});
  CHECK(texts(f.follow("ap-1", 1)) == "b\nc\n");
  CHECK(texts(f.follow("ap-1", 0, 2)) == "a\nb\n");
  CHECK(f.hub->last_number("ap-1") == 3);
  CHECK(f.hub->last_number("ap-none") == 0);
  CHECK(f.follow("ap-1", 3, 10, monotonic_now()).empty());
  CHECK(f.follow("ap-none", 0, 10, monotonic_now()).empty());
}

TEST_CASE("a follower waits for the next line, and is told of the end") {
  Fixture f;
  std::string seen;
  const auto body = [](LogHub& hub, std::string& out) -> async::Task<void> {
    THAW_CO_TRY(const auto lines, co_await follow_to_end(hub, "ap-1"));
    out = texts(lines) + (hub.ended("ap-1") ? "end" : "open");
    co_return ok();
  };
  f.tasks.start("follow", body(*f.hub, seen));
  const auto print = [](LogHub& hub, async::TaskGroup& group) -> async::Task<bool> {
    for (const char* text : {"a", "b", "c"}) {
      Line line;
      line.text = text;
      hub.append("ap-1", std::move(line));
      THAW_CO_TRY_VOID(co_await async::yield());
    }
    hub.end("ap-1");
    co_return co_await group.join(monotonic_now() + 20s);
  };
  CHECK(*f.loop.run_task(print(*f.hub, f.tasks)));
  CHECK(seen == "abcend");
  f.append("ap-1", "again");
  CHECK_FALSE(f.hub->ended("ap-1"));
  CHECK(texts(f.follow("ap-1", 3)) == "again");
}

TEST_CASE("everything a follower saw is there after the hub is opened again, and numbers go on") {
  Fixture f;
  Line line;
  line.channel = Channel::err;
  line.container = "ta-1";
  line.function = "fu-1";
  line.call = "fc-1";
  line.input = "in-1";
  line.text = "a\n";
  line.time = WallTime(123'456us);
  f.hub->append("ap-1", line);
  f.append("ap-1", "b\n");
  f.hub->end("ap-1");
  f.append("ap-2", "not waited for\n");
  f.reopen();
  const auto lines = f.follow("ap-1", 0);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].channel == Channel::err);
  CHECK(lines[0].container == "ta-1");
  CHECK(lines[0].function == "fu-1");
  CHECK(lines[0].call == "fc-1");
  CHECK(lines[0].input == "in-1");
  CHECK(lines[0].time == line.time);
  CHECK(f.hub->ended("ap-1"));
  CHECK(f.follow("ap-1", lines[1].number).empty());
  f.append("ap-1", "c\n");
  const auto more = f.follow("ap-1", lines[1].number);
  REQUIRE(more.size() == 1);
  CHECK(more[0].number == 3);
  CHECK(texts(f.follow("ap-2", 0)) == "not waited for\n");
}

TEST_CASE("lines that have left the memory are read from disk") {
  HubLimits limits;
  limits.memory_lines = 10;
  Fixture f(limits);
  for (int i = 1; i <= 5'000; ++i) {
    f.append("ap-1", std::to_string(i) + "\n");
  }
  f.hub->end("ap-1");
  const auto lines = f.loop.run_task(follow_to_end(*f.hub, "ap-1"));
  REQUIRE(lines);
  REQUIRE(lines->size() == 5'000);
  CHECK(lines->front().text == "1\n");
  CHECK(lines->back().text == "5000\n");
}

TEST_CASE("a follower gets a bounded part of much output at a time, from memory and from disk") {
  Fixture it;
  constexpr std::uint64_t count = 40;
  for (std::uint64_t i = 0; i < count; ++i) {
    it.append("app", std::string(32 << 10, 'x') + "\n");
  }
  for (const bool from_disk : {false, true}) {
    std::uint64_t after = 0;
    while (after < count) {
      const std::vector<Line> lines = it.follow("app", after);
      CHECK(texts(lines).size() <= (256 << 10) + (64 << 10));
      REQUIRE(lines.front().number == after + 1);
      after = lines.back().number;
    }
    CHECK_MESSAGE(after == count, from_disk);
    it.reopen();
  }
}

TEST_CASE("a long piece is split between characters, and bad bytes are replaced") {
  HubLimits limits;
  limits.line_bytes = 10;
  Fixture f(limits);
  f.append("ap-1", "0123456789€€€€\n");
  f.append("ap-1", "bad \xff byte");
  const auto lines = f.follow("ap-1", 0);
  REQUIRE(lines.size() == 5);
  CHECK(lines[0].text == "0123456789");
  CHECK(lines[1].text == "€€€");
  CHECK(lines[2].text == "€\n");
  CHECK(lines[3].text + lines[4].text == "bad \uFFFD byte");
}

TEST_CASE("a query selects by time, origin and text, from either end") {
  Fixture f;
  for (int i = 0; i < 100; ++i) {
    Line line;
    line.time = WallTime(std::chrono::seconds(1000 + i));
    line.container = i % 2 == 0 ? "ta-0" : "ta-1";
    line.call = "fc-" + std::to_string(i % 5);
    line.text = "line " + std::to_string(i) + " 100%_\n";
    f.hub->append("ap-1", std::move(line));
  }
  Query query;
  CHECK(f.find("ap-1", query).size() == 100);
  CHECK(f.find("ap-none", query).empty());
  query.since = WallTime(1010s);
  query.until = WallTime(1019s);
  CHECK(f.find("ap-1", query).size() == 10);
  query.container = "ta-1";
  CHECK(f.find("ap-1", query).size() == 5);
  query.call = "fc-3";
  CHECK(texts(f.find("ap-1", query)) == "line 13 100%_\n");
  Query last;
  last.order = Query::Order::newest_first;
  last.limit = 2;
  CHECK(texts(f.find("ap-1", last)) == "line 99 100%_\nline 98 100%_\n");
  last.contains = "' OR 1=1 --";
  CHECK(f.find("ap-1", last).empty());
  last.contains = "0%_";
  last.after = 98;
  CHECK(f.find("ap-1", last).size() == 2);
}

TEST_CASE("a stream keeps its newest lines within its bytes on disk") {
  HubLimits limits;
  limits.memory_lines = 5;
  limits.stream_bytes = 100'000;
  Fixture f(limits);
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 500; ++i) {
      f.append("ap-1", std::string(100, 'x'));
    }
    const auto lines = f.follow("ap-1", f.hub->last_number("ap-1") - 1);
    CHECK(lines.size() == 1);
  }
  Query query;
  query.limit = 100'000;
  const auto lines = f.find("ap-1", query);
  CHECK(lines.size() * 164 <= 100'000);
  CHECK(lines.size() * 164 >= 80'000);
  CHECK(lines.back().number == 10'000);
  // A reader from the beginning gets what is left, and is told so.
  const auto left = f.follow("ap-1", 0);
  REQUIRE(left.size() > 1);
  CHECK(left[0].channel == Channel::info);
  CHECK(left[0].text.starts_with("thaw: " + std::to_string(lines.front().number - 1) + " pieces"));
  CHECK(left[1].number == lines.front().number);
  f.reopen();
  f.append("ap-1", "after");
  CHECK(f.follow("ap-1", 10'000).size() == 1);
  CHECK(f.find("ap-1", query).size() <= lines.size() + 1);
}

TEST_CASE("a container that prints faster than the disk takes it loses lines, and is told") {
  Fixture f;
  for (int i = 0; i < 1'000'000; ++i) {
    f.append("ap-loud", std::string(100, 'x'));
  }
  f.append("ap-quiet", "heard\n");
  CHECK(f.hub->last_number("ap-loud") < 50'000);
  CHECK(texts(f.follow("ap-quiet", 0)) == "heard\n");
  f.hub->end("ap-loud");
  const auto lines = f.loop.run_task(follow_to_end(*f.hub, "ap-loud"));
  REQUIRE(lines);
  const Line& last = lines->back();
  CHECK(last.channel == Channel::info);
  const std::string count = std::to_string(1'000'000 - (lines->size() - 1));
  CHECK(last.text.starts_with(count + " pieces of output ("));
}

namespace {

async::Task<void> print(LogHub& hub, std::string stream, int pieces) {
  for (int i = 0; i < pieces; ++i) {
    THAW_CO_TRY_VOID(co_await hub.wait_for_room(stream, 20s));
    Line line;
    line.text = std::string(60'000, 'x');
    hub.append(stream, std::move(line));
  }
  hub.end(stream);
  co_return ok();
}

async::Task<void> count(LogHub& hub, std::string stream, std::size_t& bytes) {
  THAW_CO_TRY(const std::vector<Line> lines, co_await follow_to_end(hub, std::move(stream)));
  for (const Line& line : lines) {
    bytes += line.text.size();
  }
  co_return ok();
}

}  // namespace

TEST_CASE("who waits for room loses nothing, however many print at once") {
  Fixture f;
  std::vector<std::size_t> seen(12);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const std::string stream = "ap-" + std::to_string(i);
    f.tasks.start("print", print(*f.hub, stream, 100));
    f.tasks.start("count", count(*f.hub, stream, seen[i]));
  }
  REQUIRE(*f.loop.run_task(f.tasks.join(monotonic_now() + 60s)));
  for (const std::size_t bytes : seen) {
    CHECK(bytes == 100u * 60'000u);
  }
}

TEST_CASE("a stream with little to store does not wait for those with much") {
  Fixture f;
  for (int i = 0; i < 40; ++i) {
    for (int n = 0; n < 25; ++n) {
      f.append("ap-loud-" + std::to_string(i), std::string(60'000, 'x'));
    }
  }
  f.append("ap-quiet", "a\n");
  // Nothing has been stored yet: the loop has not turned.
  const auto before = monotonic_now();
  CHECK(f.loop.run_task(f.hub->wait_for_room("ap-quiet", 1h)));
  f.append("ap-quiet", "b\n");
  CHECK(monotonic_now() - before < 1h);
  CHECK(f.loop.run_task(f.hub->wait_for_room("ap-loud-1", 1h)));
  f.hub->end("ap-quiet");
  const auto lines = f.loop.run_task(follow_to_end(*f.hub, "ap-quiet"));
  REQUIRE(lines);
  CHECK(texts(*lines) == "a\nb\n");
}

TEST_CASE("the hub may go away while somebody follows") {
  Fixture f;
  std::optional<Code> seen;
  const auto body = [](LogHub& hub, std::optional<Code>& out) -> async::Task<void> {
    const auto lines = co_await hub.follow("ap-1", 0, 1, Instant::max());
    out = lines ? Code::ok : lines.error().code();
    co_return ok();
  };
  f.tasks.start("follow", body(*f.hub, seen));
  const auto close = [](Fixture& fixture) -> async::Task<bool> {
    THAW_CO_TRY_VOID(co_await async::yield());
    fixture.hub.reset();
    co_return co_await fixture.tasks.join(monotonic_now() + 20s);
  };
  CHECK(*f.loop.run_task(close(f)));
  CHECK(seen == Code::cancelled);
}
