// SPDX-License-Identifier: Apache-2.0
//
// Finding stored calls: lists of them, by index, and by the key that their caller gave. Each
// function runs inside a transaction of the caller, on a database thread, and touches values only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "thaw/queue/call_queue.h"
#include "thaw/store/database.h"

namespace thaw::queue::detail {

// A place in a list, which is sorted by it, the greatest first.
struct ListKey {
  WallTime created_at{};
  std::string id;
  auto operator<=>(const ListKey&) const = default;
};

// Part of a list that comes from one source.
struct ListPart {
  std::vector<ListedCall> calls;
  // There may be more before it; none: that was all.
  std::optional<ListKey> looked_at;
};

inline ListKey key_of(const ListedCall& call) { return {call.created_at, call.id.str()}; }

// Durable calls before `before`, read from an index in its order; at most `most` are taken, and a
// bounded number is looked at.
Result<ListPart> list_stored(store::Transaction& transaction, const CallFilter& filter,
                             const ListKey& before, std::size_t most);

struct StoredKey {
  model::WorkspaceId workspace;
  model::FunctionId function;
  Once once;
  model::CallId call;
  WallTime until{};
};

// none: unknown, or its time is over.
Result<std::optional<StoredKey>> find_key(store::Transaction& transaction,
                                          const model::WorkspaceId& workspace,
                                          const model::FunctionId& function, const std::string& key,
                                          WallTime now);
Result<void> insert_key(store::Transaction& transaction, const StoredKey& key);
// Of those whose time is over, up to `limit`; returns how many.
Result<std::int64_t> delete_keys(store::Transaction& transaction, WallTime now, int limit);

}  // namespace thaw::queue::detail
