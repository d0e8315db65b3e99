// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/object_table.h"

#include "thaw/base/time.h"
#include "thaw/store/set_aside.h"

namespace thaw::catalog {

namespace {

enum class RowColumn { kind, id, json, bytes, updated_us };
constexpr store::Column row_columns[] = {{"kind", store::Type::text},
                                         {"id", store::Type::text},
                                         {"json", store::Type::text},
                                         {"bytes", store::Type::bytes},
                                         {"updated_us", store::Type::integer}};
constexpr store::Table<RowColumn> rows("catalog_objects", row_columns,
                                       {RowColumn::kind, RowColumn::id}, store::Rows::keyed);

Result<void> write_row(store::Transaction& transaction, const RowChange& row, std::int64_t now) {
  if (!row.record) {
    THAW_TRY_VOID(transaction.erase(rows, {row.kind, row.id}));
    return ok();
  }
  return transaction.put(rows, {{RowColumn::kind, row.kind},
                                {RowColumn::id, row.id},
                                {RowColumn::json, row.record->json},
                                {RowColumn::bytes, row.record->bytes},
                                {RowColumn::updated_us, now}});
}

}  // namespace

std::vector<store::Migration> migrations() {
  using enum store::Type;
  return {{"catalog",
           1,
           {store::AddTable{.name = "catalog_objects",
                            .columns = {{"kind", text},
                                        {"id", text},
                                        {"json", text},
                                        {"bytes", bytes},
                                        {"updated_us", integer}},
                            .key = {"kind", "id"},
                            .rows = store::Rows::keyed}}},
          {"catalog",
           2,
           {store::AddTable{
               .name = "secret_key",
               .columns = {{"one", integer, store::Nulls::yes, {}, 1}, {"fingerprint", text}},
               .key = {"one"}}}}};
}

async::Task<void> apply_steps(store::Database& database, std::vector<Step> steps) {
  auto changes = std::make_shared<std::vector<RowChange>>();
  for (Step& step : steps) {
    if (!step.row) {
      co_return step.row.error();
    }
    changes->push_back(std::move(*step.row));
  }
  for (const Step& step : steps) {
    step.begin();
  }
  std::function<Result<void>(store::Transaction&)> work =
      [changes](store::Transaction& transaction) -> Result<void> {
    const std::int64_t now = wall_now().time_since_epoch().count();
    for (const RowChange& row : *changes) {
      THAW_TRY_VOID(write_row(transaction, row, now));
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
  THAW_TRY_VOID(database.read_now([&](store::Transaction& transaction) {
    return transaction.scan(
        rows, {.with = {kind}}, {RowColumn::id, RowColumn::json, RowColumn::bytes},
        [&](const store::Row<RowColumn>& row) {
          const std::string id = row.text(RowColumn::id);
          const auto read = visit(id, {row.text(RowColumn::json), row.text(RowColumn::bytes)});
          if (!read) {
            unreadable.push_back({&rows, row.place(), kind + " " + id, read.error().message()});
          }
        });
  }));
  for (store::Unreadable& row : unreadable) {
    store::set_aside_later(database, std::move(row));
  }
  return ok();
}

void set_row_aside(store::Database& database, const std::string& kind, const std::string& id,
                   std::string reason) {
  const store::Place place{.key = {kind, id}};
  store::set_aside_later(database, {&rows, place, kind + " " + id, std::move(reason)});
}

Error not_the_same(const std::string& kind, const std::string& id, const std::string& why) {
  return Error::invalid_argument("the " + kind + " " + id + " cannot be stored: " + why);
}

}  // namespace thaw::catalog
