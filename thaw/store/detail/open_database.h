// SPDX-License-Identifier: Apache-2.0
//
// How a database file comes to be and is opened again. A new one is made under another name,
// synced and renamed, so a file that is there but empty is damage, never a fresh start. An old one
// is looked at before it is used: its header, its length, the pages of a small one. Blocks.
#pragma once

#include <memory>

#include "thaw/store/detail/connection.h"
#include "thaw/store/detail/writer.h"

namespace thaw::store::detail {

// The writing connection, migrated.
Result<std::unique_ptr<Connection>> open_database(const DatabaseOptions& options);
// One that can neither write nor checkpoint, not even when it is closed last.
Result<std::unique_ptr<Connection>> open_reader(const DatabaseOptions& options);
// The tables that each database has.
std::vector<Step> steps_of_store();
// Where counting commits goes on; with Sync::full only.
Result<Commits> count_commits(Connection& writer, const DatabaseOptions& options);

}  // namespace thaw::store::detail
