// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/call_index.h"

#include <algorithm>

#include "thaw/queue/detail/tables.h"

namespace thaw::queue::detail {

using store::Row;
using store::Transaction;
using C = CallColumn;
using K = KeyColumn;

namespace {

// Of those that are not wanted, so many more are looked at before a page ends short.
constexpr std::int64_t looked_at_per_page = 500;

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

ListedCall listed(const Row<C>& row) {
  ListedCall call;
  call.id = model::CallId(row.text(C::id));
  call.app = model::AppId(row.text(C::app));
  call.function = model::FunctionId(row.text(C::function));
  call.durability = model::Durability::durable;
  call.created_at = wall(row.integer(C::created_us));
  call.cancelled = row.integer(C::cancelled) != 0;
  if (!row.is_null(C::finished_us)) {
    call.finished_at = wall(row.integer(C::finished_us));
  }
  call.origin = row.integer(C::origin) == 1   ? model::Origin::container
                : row.integer(C::origin) == 2 ? model::Origin::web
                : row.integer(C::origin) == 3 ? model::Origin::schedule
                                              : model::Origin::client;
  return call;
}

}  // namespace

Result<ListPart> list_stored(Transaction& transaction, const CallFilter& filter,
                             const ListKey& before, std::size_t most) {
  const bool of_one = !filter.function.empty();
  const std::int64_t limit =
      filter.state == CallFilter::State::any
          ? static_cast<std::int64_t>(most) + 1
          : std::max(looked_at_per_page, static_cast<std::int64_t>(most) + 1);
  ListPart part;
  std::int64_t rows = 0;
  bool is_full = false;
  ListKey last;
  THAW_TRY_VOID(
      transaction.scan(tables::calls,
                       {.by = of_one ? &tables::calls_of_function : &tables::calls_of_workspace,
                        .with = {of_one ? filter.function.str() : filter.workspace.str()},
                        .from = {micros(filter.from)},
                        .before = {micros(before.created_at), before.id},
                        .order = store::Order::descending},
                       {C::id, C::workspace, C::app, C::function, C::created_us, C::cancelled,
                        C::finished_us, C::origin},
                       [&](const Row<C>& row) {
                         if (row.view(C::workspace) != filter.workspace.str()) {
                           return store::Go::on;
                         }
                         if (part.calls.size() == most) {
                           is_full = true;
                           return store::Go::stop;
                         }
                         ListedCall call = listed(row);
                         last = key_of(call);
                         if (filter.state != CallFilter::State::finished || call.finished_at) {
                           part.calls.push_back(std::move(call));
                         }
                         return ++rows == limit ? store::Go::stop : store::Go::on;
                       }));
  if (is_full || rows == limit) {
    part.looked_at = last;
  }
  return part;
}

Result<std::optional<StoredKey>> find_key(Transaction& transaction,
                                          const model::WorkspaceId& workspace,
                                          const model::FunctionId& function, const std::string& key,
                                          WallTime now) {
  std::optional<StoredKey> found;
  THAW_TRY_VOID(transaction.scan(
      tables::call_keys,
      {.by = &tables::call_keys_by_key, .with = {workspace.str(), function.str(), key}},
      {K::call, K::fingerprint, K::until_us}, [&](const Row<K>& row) {
        if (wall(row.integer(K::until_us)) > now) {
          found = {workspace,
                   function,
                   {key, row.text(K::fingerprint)},
                   model::CallId(row.text(K::call)),
                   wall(row.integer(K::until_us))};
        }
      }));
  return found;
}

Result<void> insert_key(Transaction& transaction, const StoredKey& key) {
  THAW_TRY_VOID(transaction.erase_range(
      tables::call_keys, {.by = &tables::call_keys_by_key,
                          .with = {key.workspace.str(), key.function.str(), key.once.key}}));
  return transaction.insert(tables::call_keys, {{K::workspace, key.workspace.str()},
                                                {K::function, key.function.str()},
                                                {K::key, key.once.key},
                                                {K::fingerprint, key.once.fingerprint},
                                                {K::call, key.call.str()},
                                                {K::until_us, micros(key.until)}});
}

Result<std::int64_t> delete_keys(Transaction& transaction, WallTime now, int limit) {
  std::vector<std::int64_t> rows;
  THAW_TRY_VOID(transaction.scan(
      tables::call_keys, {.by = &tables::call_keys_until, .to = {micros(now)}, .limit = limit},
      {K::n}, [&rows](const Row<K>& row) { rows.push_back(row.integer(K::n)); }));
  for (const std::int64_t row : rows) {
    THAW_TRY_VOID(transaction.erase(tables::call_keys, {row}));
  }
  return static_cast<std::int64_t>(rows.size());
}

}  // namespace thaw::queue::detail
