// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/output_pace.h"

#include <doctest/doctest.h>

#include <vector>

using namespace thaw;
using namespace thaw::dialect::modal;

TEST_CASE("an output of a map waits for others that come soon, and for no others") {
  struct Row {
    const char* name;
    OutputPace pace;
    bool soon;
  };
  const std::vector<Row> rows = {
      {"short calls in two containers", {100, 90, 2, 1ms}, true},
      {"the only container is between an output and its next input", {100, 90, 0, 1ms}, true},
      {"nothing runs, and nothing would", {100, 0, 0, 1ms}, false},
      {"the last ones", {7, 5, 2, 1ms}, false},
      {"calls of a second in ten containers", {100, 90, 10, 1s}, false},
      {"the same in a thousand", {2000, 900, 1000, 1s}, true},
      {"nothing is known", {100, 90, 2, 0ms}, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(comes_soon(row.pace, 10ms) == row.soon);
  }
}
