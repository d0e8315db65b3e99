// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/disk_shares.h"

#include <doctest/doctest.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;
using Kind = DiskShares::Kind;

TEST_CASE("of several owners none may have more than a half of the disk, unless a quota says so") {
  const TempFolder folder;
  DiskShares shares(folder.path(), {.bytes_per_owner = {}, .reserve_bytes = 0});
  CHECK(shares.quota() == 0);
  std::size_t owners = 1;
  shares.owners = [&owners] { return owners; };
  CHECK(shares.quota() == 0);
  owners = 2;
  const std::uint64_t quota = shares.quota();
  REQUIRE(quota > 0);
  shares.add("ac-ann", Kind::volumes, 3 * quota);
  CHECK(shares.is_over_quota("ac-ann"));
  CHECK_FALSE(shares.is_over_quota("ac-bob"));
  const auto refused = shares.check("ac-ann", 1);
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(refused.error().message().find("workspace_disk_gb") != std::string::npos);
  CHECK(shares.check("ac-bob", 1));
  // What was given away makes nobody's share smaller.
  shares.set("ac-ann", Kind::volumes, 0);
  CHECK(shares.quota() >= quota);
  DiskShares with_none(folder.path(), {.bytes_per_owner = 0, .reserve_bytes = 0});
  with_none.owners = [] { return std::size_t{2}; };
  CHECK(with_none.quota() == 0);
}
