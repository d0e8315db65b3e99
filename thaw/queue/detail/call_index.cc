// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/call_index.h"

#include <algorithm>

namespace thaw::queue::detail {

using store::Row;
using store::Sql;

namespace {

// Of those that are not wanted, so many more are looked at before a page ends short.
constexpr std::int64_t looked_at_per_page = 500;

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

ListedCall listed(const Row& row) {
  ListedCall call;
  call.id = model::CallId(row.text(0));
  call.app = model::AppId(row.text(1));
  call.function = model::FunctionId(row.text(2));
  call.durability = model::Durability::durable;
  call.created_at = wall(row.integer(3));
  call.cancelled = row.integer(4) != 0;
  if (!row.is_null(5)) {
    call.finished_at = wall(row.integer(5));
  }
  call.origin = row.integer(6) == 1   ? model::Origin::container
                : row.integer(6) == 2 ? model::Origin::web
                                      : model::Origin::client;
  return call;
}

}  // namespace

std::string list_query(Of of) {
  // The plus keeps the planner from the workspace's index, which is of all functions.
  return std::string(
             "SELECT id, app, function, created_us, cancelled, finished_us, origin FROM calls ") +
         (of == Of::function ? "WHERE +workspace = ?1 AND function = ?6 "
                             : "WHERE workspace = ?1 ") +
         "AND (created_us, id) < (?2, ?3) AND created_us >= ?4 "
         "ORDER BY created_us DESC, id DESC LIMIT ?5";
}

Result<ListPart> list_stored(Sql& sql, const CallFilter& filter, const ListKey& before,
                             std::size_t most) {
  const bool of_one = !filter.function.empty();
  const std::int64_t limit =
      filter.state == CallFilter::State::any
          ? static_cast<std::int64_t>(most) + 1
          : std::max(looked_at_per_page, static_cast<std::int64_t>(most) + 1);
  std::vector<store::Value> values = {filter.workspace.str(), micros(before.created_at), before.id,
                                      micros(filter.from), limit};
  if (of_one) {
    values.emplace_back(filter.function.str());
  }
  ListPart part;
  std::int64_t rows = 0;
  bool is_full = false;
  ListKey last;
  THAW_TRY_VOID(sql.each(list_query(of_one ? Of::function : Of::workspace), std::move(values),
                         [&](const Row& row) {
                           ++rows;
                           ListedCall call = listed(row);
                           if (is_full || part.calls.size() == most) {
                             is_full = true;
                             return;
                           }
                           last = key_of(call);
                           if (filter.state != CallFilter::State::finished || call.finished_at) {
                             part.calls.push_back(std::move(call));
                           }
                         }));
  if (is_full || rows == limit) {
    part.looked_at = last;
  }
  return part;
}

Result<std::optional<StoredKey>> find_key(Sql& sql, const model::WorkspaceId& workspace,
                                          const model::FunctionId& function, const std::string& key,
                                          WallTime now) {
  std::optional<StoredKey> found;
  THAW_TRY_VOID(
      sql.each("SELECT call, fingerprint, until_us FROM call_keys "
               "WHERE workspace = ? AND function = ? AND key = ? AND until_us > ?",
               {workspace.str(), function.str(), key, micros(now)}, [&](const Row& row) {
                 found = {workspace,
                          function,
                          {key, row.text(1)},
                          model::CallId(row.text(0)),
                          wall(row.integer(2))};
               }));
  return found;
}

Result<void> insert_key(Sql& sql, const StoredKey& key) {
  THAW_TRY_VOID(sql.run("DELETE FROM call_keys WHERE workspace = ? AND function = ? AND key = ?",
                        {key.workspace.str(), key.function.str(), key.once.key}));
  THAW_TRY_VOID(
      sql.run("INSERT INTO call_keys (workspace, function, key, fingerprint, call, until_us) "
              "VALUES (?, ?, ?, ?, ?, ?)",
              {key.workspace.str(), key.function.str(), key.once.key, key.once.fingerprint,
               key.call.str(), micros(key.until)}));
  return ok();
}

Result<std::int64_t> delete_keys(Sql& sql, WallTime now, int limit) {
  return sql.run(
      "DELETE FROM call_keys WHERE n IN "
      "(SELECT n FROM call_keys WHERE until_us <= ? LIMIT ?)",
      {micros(now), std::int64_t{limit}});
}

}  // namespace thaw::queue::detail
