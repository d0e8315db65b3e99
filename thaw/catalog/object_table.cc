// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/object_table.h"

#include "thaw/base/time.h"
#include "thaw/store/set_aside.h"

namespace thaw::catalog {

namespace {

Result<void> write_row(store::Sql& sql, const RowChange& row, std::int64_t now) {
  if (!row.record) {
    THAW_TRY_VOID(
        sql.run("DELETE FROM catalog_objects WHERE kind = ? AND id = ?", {row.kind, row.id}));
    return ok();
  }
  THAW_TRY_VOID(sql.run(
      "INSERT INTO catalog_objects(kind, id, json, bytes, updated_us) VALUES(?, ?, ?, ?, ?) "
      "ON CONFLICT(kind, id) DO UPDATE SET json = excluded.json, bytes = excluded.bytes, "
      "updated_us = excluded.updated_us",
      {row.kind, row.id, row.record->json, store::Blob{row.record->bytes}, now}));
  return ok();
}

}  // namespace

async::Task<void> apply_steps(store::Database& database, std::vector<Step> steps) {
  auto rows = std::make_shared<std::vector<RowChange>>();
  for (Step& step : steps) {
    if (!step.row) {
      co_return step.row.error();
    }
    rows->push_back(std::move(*step.row));
  }
  for (const Step& step : steps) {
    step.begin();
  }
  std::function<Result<void>(store::Sql&)> work = [rows](store::Sql& sql) -> Result<void> {
    const std::int64_t now = wall_now().time_since_epoch().count();
    for (const RowChange& row : *rows) {
      THAW_TRY_VOID(write_row(sql, row, now));
    }
    return ok();
  };
  Result<void> outcome = co_await database.write<void>(std::move(work));
  for (const Step& step : steps) {
    step.end(outcome.has_value());
  }
  co_return outcome;
}

Result<void> each_row(store::Database& database, const std::string& kind,
                      const std::function<Result<void>(const std::string&, StoredRecord)>& visit) {
  std::vector<store::Unreadable> unreadable;
  THAW_TRY_VOID(database.read_now([&](store::Sql& sql) -> Result<void> {
    return sql.each("SELECT id, json, bytes FROM catalog_objects WHERE kind = ?", {kind},
                    [&](const store::Row& row) {
                      const std::string id = row.text(0);
                      if (const auto read = visit(id, {row.text(1), row.text(2)}); !read) {
                        unreadable.push_back({"catalog_objects",
                                              {"kind", "id", "json", "bytes", "updated_us"},
                                              "kind = ? AND CAST(id AS TEXT) = ?",
                                              {kind, id},
                                              kind + " " + id,
                                              read.error().message()});
                      }
                    });
  }));
  for (store::Unreadable& rows : unreadable) {
    store::set_aside_later(database, std::move(rows));
  }
  return ok();
}

Error not_the_same(const std::string& kind, const std::string& id, const std::string& why) {
  return Error::invalid_argument("the " + kind + " " + id + " cannot be stored: " + why);
}

}  // namespace thaw::catalog
