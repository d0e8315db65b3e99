// SPDX-License-Identifier: Apache-2.0
//
// StoredLedger: the ledger of a server, in a database file of its own. A group is one transaction:
// lines, spans as they are, and the roll-ups of its minute. Lines and ended spans are kept for some
// time, roll-ups for ever. Spans that a server before this one has left are closed as they were
// last seen, and are marked; a line that a call's outcome was stored with, and that did not get
// here, is charged then, once. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/meter/ledger.h"
#include "thaw/meter/usage.h"
#include "thaw/store/database.h"

namespace thaw::meter {

std::vector<store::Migration> migrations();

struct LedgerOptions {
  Duration keep = std::chrono::hours(24 * 40);  // lines, and spans that are over
  std::size_t most_rows = 200'000;              // of one answer
};

class StoredLedger final : public Ledger {
 public:
  // Both outlive it.
  StoredLedger(async::Loop& loop, store::Database& database, LedgerOptions options)
      : database_(database), options_(options), tasks_(loop) {}

  struct Recovered {
    std::size_t spans = 0;  // that were cut off
    std::size_t lines = 0;  // that were owed and are charged now
    std::size_t bad = 0;    // records that could not be read
  };
  // Before the first group: `owed` are the lines that the queue has kept.
  async::Task<Recovered> recover(std::vector<std::string> owed);
  // Begins to forget what is older than it is kept.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  async::Task<void> write(std::shared_ptr<const Group> group) override;
  // resource_exhausted: more rows than one answer has; ask for less.
  async::Task<Usage> read(UsageFilter filter);
  async::Task<void> forget_before(WallTime time);

 private:
  store::Database& database_;
  LedgerOptions options_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::meter
