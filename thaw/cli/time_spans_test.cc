// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/time_spans.h"

#include <doctest/doctest.h>

using namespace thaw;

TEST_CASE("a span of time has a number and a unit") {
  CHECK(*cli::parse_time_span("90s") == 90);
  CHECK(*cli::parse_time_span("1.5m") == 90);
  CHECK(*cli::parse_time_span("12h") == 12 * 3600);
  CHECK(*cli::parse_time_span("30d") == 30 * 86'400);
  CHECK(*cli::parse_time_span("0s") == 0);
  for (const char* wrong :
       {"", "d", "30", "30 d", "-1h", "1w", "30dd", "1e3s", "nand", "infd", "40000d", "0x1s"}) {
    CAPTURE(wrong);
    CHECK_FALSE(cli::parse_time_span(wrong));
  }
}
