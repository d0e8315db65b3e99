// SPDX-License-Identifier: Apache-2.0
//
// What the ledger does with its rows, inside a transaction of the caller, on a database thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "thaw/meter/ledger.h"
#include "thaw/meter/usage.h"
#include "thaw/store/set_aside.h"

namespace thaw::meter::detail {

// False: it is there already, and nothing has changed.
Result<bool> put_line(store::Transaction& transaction, const Line& line);
Result<void> put_span(store::Transaction& transaction, const SpanView& span);

// Roll-ups of one transaction, by what they are told apart by, so that each row is written once.
class Minutes {
 public:
  void add(const Line& line, WallTime at);
  void add(const SpanFacts& span, const Parts& more, WallTime at);
  Result<void> write(store::Transaction& transaction) const;

 private:
  std::map<std::pair<std::int64_t, std::string>, CallRow> calls_;
  std::map<std::pair<std::int64_t, std::string>, PartRow> spans_;
};

struct StoredSpan {
  SpanView view;
  Amount open;  // under way
};
// Those that a server before this one has left; what cannot be read is told in `bad`.
Result<std::map<model::ContainerId, StoredSpan>> load_going_on(store::Transaction& transaction,
                                                               std::vector<store::Unreadable>& bad);
// Moves what a line is charged out of what was under way. More than that was there is time that the
// span has not seen: it has it from now on.
void charge(StoredSpan& span, const Line& line);
// It is over, as it was last seen; what was under way is nobody's.
void cut_off(StoredSpan& span);

// Adds what is in the range to sums by day.
Result<void> read_usage(store::Transaction& transaction, const UsageFilter& filter,
                        std::size_t most_rows, Usage& out);

}  // namespace thaw::meter::detail
