// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/table.h"

#include <doctest/doctest.h>

using namespace thaw::cli;

TEST_CASE("columns are as wide as their widest cell and lines end without blanks") {
  CHECK(aligned_table({"A", "LONG"}, {{"xyz", "1"}, {"", "22"}}) == "A    LONG\nxyz  1\n     22\n");
}

TEST_CASE("durations and sizes are short") {
  CHECK(short_duration(4.23) == "4.2 ms");
  CHECK(short_duration(1500) == "1.5 s");
  CHECK(short_duration(-1) == "-");
  CHECK(short_bytes(5 << 20) == "5 MiB");
}
