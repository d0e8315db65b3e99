// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/sizes.h"

#include <doctest/doctest.h>

using thaw::cli::parse_bytes;

TEST_CASE("an amount of memory has a number and a unit") {
  CHECK(*parse_bytes("2GiB") == 2ull << 30);
  CHECK(*parse_bytes("512 MiB") == 512u << 20);
  CHECK(*parse_bytes("1.5g") == 3u << 29);
  CHECK(*parse_bytes("64K") == 64u << 10);
  CHECK(*parse_bytes("800MB") == 800'000'000);
  CHECK(*parse_bytes("1kB") == 1000);
  for (const char* text : {"", "2", "GiB", "2 apples", "-1GiB", "0GiB", "inf", "nanG", "1e9G",
                           "99999999TiB", "2GiBs", "0x10G"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_bytes(text));
  }
}
