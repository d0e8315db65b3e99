// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/disk_room.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include "thaw/os/files.h"

using namespace thaw;
using namespace thaw::image;

namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

bool is_full(const DiskSpace& disk, std::uint64_t more = 0) {
  const auto room = check_room(disk, more);
  const bool is_refused = !room && room.error().code() == Code::resource_exhausted;
  CHECK((room || is_refused));
  return is_refused;
}

}  // namespace

TEST_CASE("a part of the disk is kept for others, whatever strangers send") {
  CHECK(!is_full({1000 * gib, 2 * gib, 0, 0}));
  CHECK(is_full({1000 * gib, gib - 1, 0, 0}));
  CHECK(is_full({1000 * gib, 0, 0, 0}));
  // Of a small disk a twentieth.
  CHECK(!is_full({10 * gib, gib / 2, 0, 0}));
  CHECK(is_full({10 * gib, gib / 2 - 1, 0, 0}));
}

TEST_CASE("what is to come counts before it is there") {
  CHECK(!is_full({1000 * gib, 11 * gib, 0, 0}, 10 * gib));
  CHECK(is_full({1000 * gib, 11 * gib, 0, 0}, 10 * gib + 1));
  CHECK(is_full({1000 * gib, 11 * gib, 0, 0}, UINT64_MAX));
}

TEST_CASE("a disk may be full of files as well") {
  CHECK(!is_full({1000 * gib, 500 * gib, 1'000'000, 20'000}));
  CHECK(is_full({1000 * gib, 500 * gib, 1'000'000, 19'999}));
}

TEST_CASE("no disk has room for everything") {
  const auto root = os::open_file("/", O_RDONLY | O_DIRECTORY);
  REQUIRE(root);
  const auto room = check_room(*root, UINT64_MAX);
  REQUIRE(!room);
  CHECK(room.error().code() == Code::resource_exhausted);
  CHECK(room.error().message().find("image cache") != std::string::npos);
}
