// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/object_table.h"

#include "thaw/base/time.h"

namespace thaw::catalog {

async::Task<void> write_row(store::Database& database, std::string kind, std::string id,
                            StoredRecord record) {
  std::function<Result<void>(store::Sql&)> work =
      [kind = std::move(kind), id = std::move(id),
       record = std::move(record)](store::Sql& sql) -> Result<void> {
    THAW_TRY_VOID(sql.run(
        "INSERT INTO catalog_objects(kind, id, json, bytes, updated_us) VALUES(?, ?, ?, ?, ?) "
        "ON CONFLICT(kind, id) DO UPDATE SET json = excluded.json, bytes = excluded.bytes, "
        "updated_us = excluded.updated_us",
        {kind, id, record.json, store::Blob{record.bytes},
         std::int64_t{wall_now().time_since_epoch().count()}}));
    return ok();
  };
  co_return co_await database.write<void>(std::move(work));
}

async::Task<void> delete_row(store::Database& database, std::string kind, std::string id) {
  std::function<Result<void>(store::Sql&)> work =
      [kind = std::move(kind), id = std::move(id)](store::Sql& sql) -> Result<void> {
    THAW_TRY_VOID(sql.run("DELETE FROM catalog_objects WHERE kind = ? AND id = ?", {kind, id}));
    return ok();
  };
  co_return co_await database.write<void>(std::move(work));
}

Result<void> each_row(store::Database& database, const std::string& kind,
                      const std::function<Result<void>(const std::string&, StoredRecord)>& visit) {
  return database.read_now([&](store::Sql& sql) -> Result<void> {
    Result<void> outcome;
    THAW_TRY_VOID(sql.each("SELECT id, json, bytes FROM catalog_objects WHERE kind = ?", {kind},
                           [&](const store::Row& row) {
                             if (outcome) {
                               outcome = visit(row.text(0), {row.text(1), row.text(2)});
                             }
                           }));
    return outcome;
  });
}

}  // namespace thaw::catalog
