// SPDX-License-Identifier: Apache-2.0
//
// Ledger: where what was metered is kept. An interface, so that whoever meters can be tested
// without a disk; stored_ledger.h is the one of a server. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/meter/attribution.h"
#include "thaw/meter/records.h"

namespace thaw::meter {

// A span as it is at some moment.
struct SpanView {
  SpanFacts facts;
  Totals totals;
  Parts parts{};
  Parts more{};  // of these what has come since the last group that was written
  WallTime at{};
  Life life = Life::goes_on;
  std::string end;  // why, once it is over
};

// What is written in one transaction: lines, and the spans that they are parts of as they were at
// that moment. So the lines of a span are never more than the span says.
struct Group {
  std::vector<Line> lines;
  std::vector<SpanView> spans;
  bool empty() const { return lines.empty() && spans.empty(); }
};

class Ledger {
 public:
  virtual ~Ledger() = default;
  // On disk when it returns; an error: nothing of it is.
  virtual async::Task<void> write(std::shared_ptr<const Group> group) = 0;
};

}  // namespace thaw::meter
