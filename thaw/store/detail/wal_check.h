// SPDX-License-Identifier: Apache-2.0
//
// SQLite reads a write-ahead log up to the first frame whose checksum is wrong, because that is how
// a crash in the middle of a write looks. A frame damaged later looks the same, and would take all
// commits after it away without a word. They differ in what follows: the next transaction is
// written only after the last one was synced, so behind a crash there is at most one unfinished
// transaction; behind damage there are whole ones. Blocks.
#pragma once

#include <string>

#include "thaw/base/result.h"

namespace thaw::store::detail {

// data_loss if the file holds a commit behind a broken frame that a crash cannot explain. To be
// called before SQLite opens the database. A missing or empty file is fine.
Result<void> check_wal(const std::string& path);

}  // namespace thaw::store::detail
