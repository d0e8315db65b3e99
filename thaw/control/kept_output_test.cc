// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_output.h"

#include <doctest/doctest.h>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/async/virtual_time.h"

using namespace thaw;
using namespace thaw::control;

namespace {

struct Streams {
  explicit Streams(OutputLimits limits = {}) : shares(std::make_shared<OutputShares>(limits)) {}

  KeptOutput::Piece read(KeptOutput& output, std::uint64_t offset, std::size_t most = 1000) {
    const auto piece = loop.run_task(output.read(offset, most, monotonic_now()));
    REQUIRE(piece);
    return *piece;
  }
  bool has_room(KeptOutput& output) {
    async::TaskGroup group(loop);
    group.start("room", output.wait_for_room());
    time.run(loop, time.now() + 10s);
    const bool has = group.size() == 0;
    (void)loop.run_task(group.stop());
    return has;
  }

  async::VirtualTime time;
  async::Loop loop;
  std::shared_ptr<OutputShares> shares;
  model::WorkspaceId workspace{"ac-1"};
};

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
  limits.kept_read = 10;
  Streams f(limits);
  KeptOutput output(f.shares, f.workspace, Loses::none);
  CHECK(f.has_room(output));
  output.append(std::string(60, 'a'));
  CHECK(f.has_room(output));
  output.append(std::string(60, 'b'));
  CHECK_FALSE(f.has_room(output));
  CHECK(f.read(output, 0).bytes.size() == 120);
  CHECK_FALSE(f.has_room(output));  // it was sent, and may be asked for again
  CHECK(f.read(output, 60, 10).bytes == "bbbbbbbbbb");
  CHECK(f.has_room(output));
}

TEST_CASE("what was read long ago is gone, and asking for it is an error") {
  OutputLimits limits;
  limits.kept_read = 10;
  Streams f(limits);
  KeptOutput output(f.shares, f.workspace, Loses::none);
  for (int i = 0; i < 10; ++i) {
    output.append("0123456789");
  }
  CHECK(f.read(output, 50).bytes.size() == 50);
  CHECK(f.read(output, 40).bytes.size() == 60);
  const auto gone = f.loop.run_task(output.read(0, 10, monotonic_now()));
  REQUIRE(!gone);
  CHECK(gone.error().code() == Code::data_loss);
}

TEST_CASE("of output that nobody has to read the oldest goes, and its place is told") {
  OutputLimits limits;
  limits.of_ring = 20;
  Streams f(limits);
  KeptOutput output(f.shares, f.workspace, Loses::oldest);
  for (const char* piece : {"aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"}) {
    CHECK(f.has_room(output));
    output.append(piece);
  }
  const KeptOutput::Piece piece = f.read(output, 0);
  CHECK(piece.offset == 10);
  CHECK(piece.bytes == "bbbbbbbbbbcccccccccc");
  CHECK(f.read(output, 15).bytes == "bbbbbcccccccccc");
}

TEST_CASE("of output that is thrown away nothing is kept") {
  Streams f;
  KeptOutput output(f.shares, f.workspace, Loses::all);
  output.append(std::string(1000, 'x'));
  CHECK(f.has_room(output));
  CHECK(f.read(output, 0).bytes.empty());
  output.end();
  CHECK(f.read(output, 0).is_end);
  CHECK(f.shares->has_room(f.workspace));
}

TEST_CASE("a workspace has a share of what all may keep, and gets it back") {
  OutputLimits limits;
  limits.of_workspace = 100;
  limits.of_all = 150;
  Streams f(limits);
  const model::WorkspaceId other("ac-2");
  auto greedy = std::make_unique<KeptOutput>(f.shares, f.workspace, Loses::none);
  KeptOutput second(f.shares, f.workspace, Loses::none);
  KeptOutput others(f.shares, other, Loses::none);
  greedy->append(std::string(100, 'g'));
  CHECK_FALSE(f.has_room(*greedy));
  CHECK(f.has_room(second));  // who has nothing gets a piece in
  second.append("s");
  CHECK_FALSE(f.has_room(second));
  CHECK(f.has_room(others));
  others.append(std::string(49, 'o'));
  CHECK_FALSE(f.has_room(others));
  greedy.reset();
  CHECK(f.has_room(second));
  CHECK(f.has_room(others));
}
