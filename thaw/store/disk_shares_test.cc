// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/disk_shares.h"

#include <doctest/doctest.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;
using Kind = DiskShares::Kind;

TEST_CASE(
    "of several owners none with more than a half gets the last of the disk, unless it is set") {
  const TempFolder folder;
  DiskShares shares(folder.path(), {.bytes_per_owner = {}, .reserve_bytes = 0});
  CHECK(shares.quota() == 0);
  std::size_t owners = 1;
  shares.owners = [&owners] { return owners; };
  CHECK(shares.quota() == 0);
  owners = 2;
  const std::uint64_t half = shares.quota();
  REQUIRE(half > 0);
  // More than a half, but there is enough for others; nearly all of it.
  CHECK(shares.check("ac-ann", half + half / 2));
  const auto refused = shares.check("ac-ann", 2 * half - half / 8);
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(refused.error().message().find("workspace_disk_gb") != std::string::npos);
  // What it has is much beside what is free: it is to give back, and others get of the last.
  shares.add("ac-ann", Kind::volumes, 3 * half);
  CHECK_FALSE(shares.is_over_quota("ac-ann"));
  shares.add("ac-ann", Kind::volumes, 30 * half);
  CHECK(shares.is_over_quota("ac-ann"));
  CHECK_FALSE(shares.check("ac-ann", 1));
  CHECK_FALSE(shares.is_over_quota("ac-bob"));
  CHECK(shares.check("ac-bob", half));
  // What was given back makes nobody's share smaller.
  shares.set("ac-ann", Kind::volumes, 0);
  CHECK(shares.quota() >= half);
  DiskShares with_none(folder.path(), {.bytes_per_owner = 0, .reserve_bytes = 0});
  with_none.owners = [] { return std::size_t{2}; };
  CHECK(with_none.quota() == 0);
  DiskShares set(folder.path(), {.bytes_per_owner = 1'000, .reserve_bytes = 0});
  CHECK_FALSE(set.check("ac-ann", 1'001));
}
