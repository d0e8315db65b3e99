// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/set_aside.h"

#include <utility>

#include "thaw/base/log.h"
#include "thaw/base/time.h"

namespace thaw::store {

namespace {

constexpr std::int64_t most_rows = 10'000;
constexpr std::int64_t most_bytes = 256 << 20;

// The newest stay.
Result<void> keep_bounded(Sql& sql) {
  THAW_TRY_VOID(
      sql.run("DELETE FROM set_aside WHERE n IN (SELECT n FROM (SELECT n, "
              "row_number() OVER (ORDER BY n DESC) AS place, "
              "sum(length(content)) OVER (ORDER BY n DESC) AS bytes FROM set_aside) "
              "WHERE place > ? OR bytes > ?)",
              {most_rows, most_bytes}));
  return ok();
}

}  // namespace

Result<void> set_aside(Sql& sql, const Unreadable& rows) {
  std::string content;
  for (const std::string& column : rows.columns) {
    content += (content.empty() ? "'" : " || ', ") + column + "=' || quote(" + column + ")";
  }
  std::vector<Value> values{rows.table, rows.object, rows.reason,
                            std::int64_t{wall_now().time_since_epoch().count()}};
  values.insert(values.end(), rows.values.begin(), rows.values.end());
  THAW_TRY_VOID(
      sql.run("INSERT INTO set_aside (origin, object, reason, at_us, content) "
              "SELECT ?, ?, ?, ?, " +
                  content + " FROM " + rows.table + " WHERE " + rows.condition,
              std::move(values)));
  THAW_TRY_VOID(sql.run("DELETE FROM " + rows.table + " WHERE " + rows.condition, rows.values));
  return keep_bounded(sql);
}

void set_aside_later(Database& database, Unreadable rows) {
  log_error("a record cannot be read and is set aside",
            {{"table", rows.table}, {"object", rows.object}, {"reason", rows.reason}});
  database.write_later([rows = std::move(rows)](Sql& sql) { return set_aside(sql, rows); });
}

Result<std::map<std::string, std::int64_t>> count_set_aside(Sql& sql) {
  std::map<std::string, std::int64_t> counts;
  THAW_TRY_VOID(sql.each("SELECT origin, count(*) FROM set_aside GROUP BY origin", {},
                         [&counts](const Row& row) { counts[row.text(0)] = row.integer(1); }));
  return counts;
}

}  // namespace thaw::store
