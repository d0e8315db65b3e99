// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/detail/image_ids.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox::detail;
using namespace thaw::sandbox::testing;

TEST_CASE("two servers take ranges of different blocks, and one takes further blocks") {
  if (skipped()) return;
  const Temporary temporary;
  const std::string folder = temporary.folder + "/ids", servers = temporary.folder + "/servers";
  IdRanges one(folder, servers, "one");
  IdRanges other(folder, servers, "other");
  std::set<std::uint32_t> firsts;
  std::set<uid_t> makers;
  for (int i = 0; i < 600; ++i) {
    for (IdRanges* ranges : {&one, &other}) {
      const auto range = ranges->take();
      REQUIRE(range);
      CHECK(range->first >= first_range_id);
      CHECK(range->first <= range_id_end - ids_in_range);
      firsts.insert(range->first);
      makers.insert(range->maker());
    }
  }
  CHECK(firsts.size() == 1200);
  CHECK(makers.size() == 1200);
  CHECK(*makers.begin() >= range_id_end);
}

TEST_CASE("a range rests before it is taken again") {
  if (skipped()) return;
  const Temporary temporary;
  IdRanges ranges(temporary.folder + "/ids", temporary.folder + "/servers", "one");
  const auto first = ranges.take();
  REQUIRE(first);
  ranges.give_back(*first);
  const auto second = ranges.take();
  REQUIRE(second);
  CHECK(second->first != first->first);
}

TEST_CASE("a block of a killed server is taken once its traces are gone") {
  if (skipped()) return;
  const Temporary temporary;
  const std::string folder = temporary.folder + "/ids", servers = temporary.folder + "/servers";
  std::uint32_t killed = 0;
  {
    IdRanges ranges(folder, servers, "killed");
    killed = ranges.take()->first;
  }
  write_file(servers + "/killed", "");
  CHECK(IdRanges(folder, servers, "next").take()->first != killed);
  std::filesystem::remove(servers + "/killed");
  CHECK(IdRanges(folder, servers, "third").take()->first == killed);
}

TEST_CASE(
    "a block of an earlier spawner of this server is left alone while something of it stays") {
  if (skipped()) return;
  const Temporary temporary;
  const std::string folder = temporary.folder + "/ids", servers = temporary.folder + "/servers";
  write_file(servers + "/one", "");
  std::uint32_t first = 0;
  {
    IdRanges ranges(folder, servers, "one");
    first = ranges.take()->first;
  }
  CHECK(IdRanges(folder, servers, "one", IdRanges::OwnBlocks::in_use).take()->first != first);
  CHECK(IdRanges(folder, servers, "one").take()->first == first);
}

TEST_CASE("what is no block is passed over") {
  if (skipped()) return;
  const Temporary temporary;
  const std::string folder = temporary.folder + "/ids", servers = temporary.folder + "/servers";
  std::filesystem::create_directories(folder + "/0");
  write_file(folder + "/1", "../../no such server\n");
  IdRanges ranges(folder, servers, "one");
  const auto range = ranges.take();
  REQUIRE(range);
  CHECK(range->first > first_range_id);
}

TEST_CASE("what the machine has given to others is read, whatever else stands there") {
  CHECK(spans_in_subids("# x\nann:100000:65536\nbob:x:1\n:1:\nroot:1000000:1000000000\n") ==
        IdSpans{{100'000, 65'536}, {1'000'000, 1'000'000'000}});
  CHECK(spans_in_subids("a:1:99999999999999999999\n") == IdSpans{});
  CHECK(spans_in_users("root:x:0:0:root:/root:/bin/sh\n\nbroken\nlost:x:600000:\n") ==
        IdSpans{{0, 1}, {600'000, 1}});
}

namespace {

std::string image(const std::string& message, const std::string& head = "\x19\x43VTabcd") {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string bytes = head;
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  return bytes + message;
}

}  // namespace

TEST_CASE("an image's user namespace becomes that of who wrote it") {
  // Fields 9 and 10 of ids are numbers; an inventory has ids as its third field.
  const std::string ids("\x48\x05\x50\x09\x58\x02", 6);
  const std::string own("\x48\x06\x50\x07", 4);
  const std::string inventory = std::string("\x08\x01\x1a\x04", 4) + own;
  const auto name = own_user_namespace(image(inventory, "abcd"));
  REQUIRE(name);
  CHECK(*name == 7);
  CHECK(*move_to_user_namespace(image(ids), 7) ==
        image(std::string("\x48\x05\x50\x07\x58\x02", 6)));
  // A longer number makes a longer message.
  CHECK(*move_to_user_namespace(image(ids), 300) ==
        image(std::string("\x48\x05\x50\xac\x02\x58\x02", 7)));
}

TEST_CASE("an image of another form is an error") {
  for (const std::string& broken :
       {std::string(), std::string("1234567"), image("").substr(0, 10), image(""), image("\x50"),
        image("\x1a\x7f"), image("\x1a\x02\x50"), image(std::string("\x48\x05", 2)),
        image("\x57\x57\x57"), image("\x50\x09").substr(0, 13), image("\x50\x09") + "x"}) {
    CAPTURE(broken.size());
    CHECK(!own_user_namespace(broken));
    CHECK(!move_to_user_namespace(broken, 7));
  }
}
