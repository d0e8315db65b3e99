// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_output.h"

#include <doctest/doctest.h>

#include <deque>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/async/virtual_time.h"

using namespace thaw;
using namespace thaw::control;

namespace {

struct Streams {
  explicit Streams(OutputLimits limits = {}) : shares(std::make_shared<OutputShares>(limits)) {}

  Result<KeptOutput::Piece> result_of(async::Task<KeptOutput::Piece> read) {
    Result<KeptOutput::Piece> piece = Error::internal("it has not ended");
    async::TaskGroup group(loop);
    const auto body = [](async::Task<KeptOutput::Piece> inner,
                         Result<KeptOutput::Piece>& out) -> async::Task<void> {
      out = co_await std::move(inner);
      co_return ok();
    };
    group.start("read", body(std::move(read), piece));
    time.run(loop, time.now() + 1ms);
    REQUIRE(group.size() == 0);
    return piece;
  }
  KeptOutput::Piece read(KeptOutput& output, std::uint64_t offset, std::size_t most = 1u << 20) {
    const auto piece = result_of(output.read(offset, most, monotonic_now()));
    REQUIRE(piece);
    return *piece;
  }
  bool is_lost(KeptOutput& output, std::uint64_t offset) {
    const auto piece = result_of(output.read(offset, 10, monotonic_now()));
    return !piece && piece.error().code() == Code::data_loss;
  }

  async::VirtualTime time;
  async::Loop loop;
  std::shared_ptr<OutputShares> shares;
  model::WorkspaceId workspace{"ac-1"};
};

constexpr std::size_t piece_of_64_kb = 64u << 10;

// Without anything that is whose it is whatever others have.
OutputLimits bare() {
  OutputLimits limits;
  limits.kept_for_each = 0;
  return limits;
}

using Loses = KeptOutput::Loses;

}  // namespace

TEST_CASE("what was printed is read by its place, again and in parts") {
  Streams f;
  KeptOutput output(f.shares, f.workspace, Loses::none);
  output.append("hello ");
  output.append("world");
  CHECK(f.read(output, 0).bytes == "hello world");
  CHECK(f.read(output, 0, 4).bytes == "hell");
  CHECK(f.read(output, 4, 4).bytes == "o wo");
  CHECK(f.read(output, 8).bytes == "rld");
  const KeptOutput::Piece nothing = f.read(output, 11);
  CHECK(nothing.bytes.empty());
  CHECK_FALSE(nothing.is_end);
  output.end();
  CHECK(f.read(output, 11).is_end);
  CHECK(f.read(output, 0).bytes == "hello world");
  output.append("too late");
  CHECK(output.size() == 11);
}

TEST_CASE("who prints faster than its reader waits, and goes on as it reads") {
  OutputLimits limits;
  limits.of_stream = 100;
  Streams f(limits);
  KeptOutput output(f.shares, f.workspace, Loses::none);
  CHECK(output.has_room());
  output.append(std::string(60, 'a'));
  CHECK(output.has_room());
  output.append(std::string(60, 'b'));
  CHECK_FALSE(output.has_room());
  async::TaskGroup group(f.loop);
  group.start("who prints", output.wait_for_room());
  f.time.run(f.loop, f.time.now() + 10s);
  CHECK(group.size() == 1);
  CHECK(f.read(output, 0, 60).bytes.size() == 60);
  CHECK(f.read(output, 60, 1).bytes == "b");  // the reader has what is before it
  f.time.run(f.loop, f.time.now() + 1s);
  CHECK(group.size() == 0);
  CHECK(f.read(output, 60).bytes == std::string(60, 'b'));
  CHECK(output.has_room());
}

TEST_CASE("a program that prints byte by byte costs what it prints") {
  Streams f;
  KeptOutput ring(f.shares, f.workspace, Loses::oldest);
  KeptOutput output(f.shares, f.workspace, Loses::none);
  for (int i = 0; i < 200'000; ++i) {
    ring.append("x");
    output.append("y");
  }
  CHECK(ring.pieces() <= 4);
  CHECK(output.pieces() <= 4);
  CHECK(f.read(output, 199'990).bytes == std::string(10, 'y'));
  CHECK(output.memory() < 200'000 + piece_of_64_kb);
  output.end();
  CHECK(output.memory() < 200'000 + 1'000);
  KeptOutput few(f.shares, f.workspace, Loses::none);
  std::string large(1u << 20, 'z');
  large.resize(100);  // as what was read into a large buffer comes
  few.append(large);
  CHECK(few.memory() < 300);
  CHECK(f.read(few, 90).bytes == std::string(10, 'z'));
}

TEST_CASE("what a reader has taken is there again while there is room, however much it is") {
  OutputLimits limits = bare();
  limits.of_stream = 4u << 20;
  limits.of_workspace = 8u << 20;
  Streams f(limits);
  KeptOutput output(f.shares, f.workspace, Loses::none);
  const std::string piece(piece_of_64_kb, 'a');
  for (int i = 0; i < 40; ++i) {
    output.append(piece);
  }
  CHECK(f.read(output, 0, 3u << 20).bytes.size() == 40 * piece.size());
  CHECK(f.read(output, 40 * piece.size()).bytes.empty());
  CHECK(f.read(output, 0, 10).bytes.size() == 10);
  for (int i = 0; i < 64; ++i) {
    output.append(piece);
  }
  CHECK(f.is_lost(output, 0));  // no stream has more than its part
  CHECK(f.read(output, 40 * piece.size(), 10).bytes.size() == 10);
}

TEST_CASE("what was taken gives way to what is unread, of the same workspace and of others") {
  OutputLimits limits = bare();
  limits.of_workspace = 1u << 20;
  limits.of_all = 2u << 20;
  Streams f(limits);
  const std::string half(512u << 10, 'h');
  KeptOutput first(f.shares, f.workspace, Loses::none);
  first.append(half);
  CHECK(f.read(first, 0).bytes.size() == half.size());
  CHECK(f.read(first, half.size()).bytes.empty());
  CHECK(f.read(first, 0).bytes.size() == half.size());  // nobody needs the room
  KeptOutput second(f.shares, f.workspace, Loses::none);
  second.append(half);
  CHECK(f.is_lost(first, 0));
  CHECK(second.has_room());
  second.append(half);
  CHECK_FALSE(second.has_room());
  CHECK(f.read(second, 0, 2u << 20).bytes.size() == 2 * half.size());
  CHECK(f.read(second, 2 * half.size()).bytes.empty());
  CHECK(second.has_room());  // whatever was read before: nobody waits for ever
  first.append("more");
  CHECK(f.read(first, half.size()).bytes == "more");
}

TEST_CASE("of output that nobody has to read the oldest goes, and its place is told") {
  OutputLimits limits;
  limits.of_ring = 192u << 10;
  Streams f(limits);
  KeptOutput output(f.shares, f.workspace, Loses::oldest);
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    CHECK(output.has_room());
    output.append(std::string(piece_of_64_kb, letter));
  }
  const KeptOutput::Piece piece = f.read(output, 0);
  CHECK(piece.offset == piece_of_64_kb);
  CHECK(piece.bytes.front() == 'b');
  CHECK(piece.bytes.size() == 3 * piece_of_64_kb);
  CHECK(f.read(output, 3 * piece_of_64_kb).bytes.front() == 'd');
}

TEST_CASE("of output that is thrown away nothing is kept") {
  Streams f;
  KeptOutput output(f.shares, f.workspace, Loses::all);
  output.append(std::string(1000, 'x'));
  CHECK(output.has_room());
  CHECK(f.read(output, 0).bytes.empty());
  output.end();
  CHECK(f.read(output, 0).is_end);
  CHECK(f.shares->has_room(f.workspace));
}

TEST_CASE("a workspace has a share of what all may keep, and gets it back") {
  OutputLimits limits = bare();
  limits.of_workspace = 100;
  limits.of_all = 150;
  Streams f(limits);
  const model::WorkspaceId other("ac-2");
  auto greedy = std::make_unique<KeptOutput>(f.shares, f.workspace, Loses::none);
  KeptOutput second(f.shares, f.workspace, Loses::none);
  KeptOutput others(f.shares, other, Loses::none);
  greedy->append(std::string(100, 'g'));
  CHECK_FALSE(greedy->has_room());
  CHECK(second.has_room());  // who has nothing gets a piece in
  second.append("s");
  CHECK_FALSE(second.has_room());
  others.append(std::string(49, 'o'));
  CHECK_FALSE(others.has_room());
  greedy.reset();
  CHECK(second.has_room());
  CHECK(others.has_room());
}

TEST_CASE("whoever comes last has a part that others cannot fill") {
  OutputLimits limits;
  limits.of_all = 1000;
  limits.of_workspace = 500;
  limits.kept_for_each = 100;
  limits.of_ring = 80;
  limits.least_ring = 1;
  Streams f(limits);
  KeptOutput one(f.shares, model::WorkspaceId("ac-2"), Loses::none);
  KeptOutput two(f.shares, model::WorkspaceId("ac-3"), Loses::none);
  one.append(std::string(500, 'a'));
  two.append(std::string(500, 'b'));
  CHECK_FALSE(one.has_room());
  CHECK_FALSE(two.has_room());
  KeptOutput late(f.shares, f.workspace, Loses::none);
  late.append(std::string(50, 'c'));
  CHECK(late.has_room());
  KeptOutput ring(f.shares, f.workspace, Loses::oldest);
  ring.append(std::string(40, 'd'));
  CHECK(f.read(ring, 0).bytes.size() == 40);
}

TEST_CASE("what a reader was given is there until it asks for what follows") {
  OutputLimits limits = bare();
  limits.of_workspace = 1u << 20;
  Streams f(limits);
  const std::string half(512u << 10, 'h');
  KeptOutput output(f.shares, f.workspace, Loses::none);
  KeptOutput other(f.shares, f.workspace, Loses::none);
  output.append(half);
  CHECK(f.read(output, 0).bytes.size() == half.size());
  other.append(half);
  CHECK(f.read(output, 0).bytes.size() == half.size());  // its connection broke
  CHECK(f.read(output, half.size()).bytes.empty());
  CHECK(f.is_lost(output, 0));  // others need the room
}

TEST_CASE("output that nobody has to read takes no room from what somebody has to") {
  OutputLimits limits = bare();
  limits.of_workspace = 1u << 20;
  limits.of_ring = 1u << 20;
  Streams f(limits);
  KeptOutput ring(f.shares, f.workspace, Loses::oldest);
  for (int i = 0; i < 15; ++i) {
    ring.append(std::string(piece_of_64_kb, 'r'));
  }
  CHECK(f.read(ring, 0).bytes.size() == 15 * piece_of_64_kb);
  KeptOutput output(f.shares, f.workspace, Loses::none);
  for (int i = 0; i < 8; ++i) {
    CHECK(output.has_room());
    output.append(std::string(piece_of_64_kb, 'o'));
  }
  CHECK(output.has_room());
  CHECK(f.read(ring, 0).bytes.size() == limits.least_ring);
}

TEST_CASE("what was released stays while nobody needs the room, and is told to be lost then") {
  OutputLimits limits = bare();
  limits.of_workspace = 1u << 20;
  Streams f(limits);
  const std::string half(512u << 10, 'h');
  KeptOutput left(f.shares, f.workspace, Loses::none);
  left.append(half);
  left.end();
  left.release();
  CHECK(f.read(left, 0).bytes.size() == half.size());
  KeptOutput next(f.shares, f.workspace, Loses::none);
  next.append(half);
  CHECK(next.has_room());
  CHECK(f.is_lost(left, 0));
  CHECK(f.read(left, half.size()).is_end);
}

TEST_CASE("however many streams begin, a workspace has its share and a quarter, and no more") {
  OutputLimits limits = bare();
  limits.of_workspace = 1u << 20;
  Streams f(limits);
  std::deque<KeptOutput> streams;
  std::size_t sum = 0;
  for (int i = 0; i < 100; ++i) {
    KeptOutput& one = streams.emplace_back(f.shares, f.workspace, Loses::none);
    if (one.has_room()) {
      one.append(std::string(piece_of_64_kb, 'x'));
      sum += piece_of_64_kb;
    }
  }
  CHECK(sum > limits.of_workspace);
  CHECK(sum <= limits.of_workspace + limits.of_workspace / 4 + piece_of_64_kb);
}

TEST_CASE("a piece of text ends between characters, however the bytes came") {
  Streams f;
  KeptOutput output(f.shares, f.workspace, Loses::none);
  const auto text = [&](std::uint64_t offset) {
    const auto piece = f.result_of(output.read_text(offset, 100, monotonic_now()));
    REQUIRE(piece);
    return *piece;
  };
  output.append("a\xc3");
  CHECK(text(0).bytes == "a");
  CHECK(text(1).bytes.empty());
  CHECK_FALSE(text(1).is_end);
  output.append(
      "\xa4"
      "b");
  CHECK(text(1).bytes == "äb");
  output.append("\xe2\x82");
  output.end();
  CHECK(text(4).bytes == "\xe2\x82");  // nothing finishes it
  CHECK(text(6).is_end);
}

TEST_CASE("who has a reader goes on at once, however many others wait without one") {
  OutputLimits limits = bare();
  limits.of_workspace = 1u << 20;
  Streams f(limits);
  const std::string piece(piece_of_64_kb, 'x');
  std::deque<KeptOutput> others;
  async::TaskGroup group(f.loop);
  for (int i = 0; i < 18; ++i) {
    others.emplace_back(f.shares, f.workspace, Loses::none).append(piece);
    group.start("one without a reader", others.back().wait_for_room());
  }
  KeptOutput output(f.shares, f.workspace, Loses::none);
  output.append(piece);
  async::TaskGroup own(f.loop);
  own.start("the one with a reader", output.wait_for_room());
  f.time.run(f.loop, f.time.now() + 100ms);
  CHECK(group.size() == 18);
  CHECK(own.size() == 1);
  CHECK(f.read(output, 0).bytes == piece);
  CHECK(f.read(output, piece.size()).bytes.empty());
  f.time.run(f.loop, f.time.now() + 100ms);
  CHECK(own.size() == 0);
  CHECK(group.size() == 18);
  (void)f.loop.run_task(group.stop());
}
