// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/set_aside.h"

#include <cstdio>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/base/time.h"
#include "thaw/codec/encoding.h"

namespace thaw::store {

namespace {

constexpr std::int64_t most_rows = 10'000;
constexpr std::int64_t most_bytes = 256 << 20;
constexpr std::size_t at_once = 1'000;

enum class AsideColumn { n, origin, object, reason, at_us, content };
constexpr Column aside_columns[] = {{"n", Type::integer},     {"origin", Type::text},
                                    {"object", Type::text},   {"reason", Type::text},
                                    {"at_us", Type::integer}, {"content", Type::text}};
constexpr Table<AsideColumn> aside("set_aside", aside_columns, {AsideColumn::n}, Rows::numbered);

// As SQL writes it: a person can put it back.
std::string written(const AnyRow& row, ColumnNumber column) {
  switch (row.stored(column)) {
    case Stored::null: break;
    case Stored::integer: return std::to_string(row.integer(column));
    case Stored::real: {
      char text[40];
      std::snprintf(text, sizeof text, "%.17g", row.real(column));
      return text;
    }
    case Stored::text: {
      std::string text = "'";
      for (const char c : row.view(column)) {
        text += c == '\'' ? "''" : std::string(1, c);
      }
      return text + "'";
    }
    case Stored::bytes: return "X'" + codec::hex_encode(row.view(column)) + "'";
  }
  return "NULL";
}

AnyColumns all_of(const AnyTable& table) {
  return {.values = (std::uint64_t{1} << table.columns.size()) - 1};
}

std::string written(const AnyTable& table, const AnyRow& row) {
  std::string content;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    content += content.empty() ? "" : ", ";
    content +=
        std::string(table.columns[i].name) + "=" + written(row, static_cast<ColumnNumber>(i));
  }
  return content;
}

Result<void> move_row(Transaction& transaction, const Unreadable& row) {
  std::string content;
  THAW_TRY_VOID(
      transaction.any_scan_at(*row.table, row.place, all_of(*row.table), [&](const AnyRow& found) {
        content = written(*row.table, found);
        return Go::stop;
      }));
  if (content.empty()) {
    return ok();
  }
  THAW_TRY_VOID(
      transaction.insert(aside, {{AsideColumn::origin, row.table->name},
                                 {AsideColumn::object, row.object},
                                 {AsideColumn::reason, row.reason},
                                 {AsideColumn::at_us, wall_now().time_since_epoch().count()},
                                 {AsideColumn::content, content}}));
  THAW_TRY_VOID(transaction.any_erase_at(*row.table, row.place));
  return ok();
}

// The newest stay.
Result<void> keep_bounded(Transaction& transaction) {
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
  std::int64_t last_to_go = 0;
  THAW_TRY_VOID(
      transaction.scan(aside, {.order = Order::descending},
                       Columns<AsideColumn>{AsideColumn::n}.with_sizes({AsideColumn::content}),
                       [&](const Row<AsideColumn>& row) {
                         bytes += static_cast<std::int64_t>(row.size(AsideColumn::content));
                         if (++rows <= most_rows && bytes <= most_bytes) {
                           return Go::on;
                         }
                         last_to_go = row.integer(AsideColumn::n);
                         return Go::stop;
                       }));
  if (last_to_go > 0) {
    THAW_TRY_VOID(transaction.erase_range(aside, {.to = {last_to_go}}));
  }
  return ok();
}

}  // namespace

std::vector<Step> steps_of_set_aside() {
  return {AddTable{.name = "set_aside",
                   .columns = {{"n", Type::integer, Nulls::yes},
                               {"origin", Type::text},
                               {"object", Type::text},
                               {"reason", Type::text},
                               {"at_us", Type::integer},
                               {"content", Type::text}},
                   .key = {"n"}}};
}

Result<void> set_aside(Transaction& transaction, const Unreadable& row) {
  THAW_TRY_VOID(move_row(transaction, row));
  return keep_bounded(transaction);
}

void set_aside_later(Database& database, Unreadable row) {
  log_error(
      "a record cannot be read and is set aside",
      {{"table", std::string(row.table->name)}, {"object", row.object}, {"reason", row.reason}});
  database.write_later(
      [row = std::move(row)](Transaction& transaction) { return set_aside(transaction, row); });
}

Result<std::int64_t> set_aside_orphans(Transaction& transaction, const AnyTable& table,
                                       ColumnNumber column, const AnyTable& parents,
                                       const std::string& object, const std::string& reason) {
  std::int64_t moved = 0;
  while (true) {
    std::vector<Place> places;
    THAW_TRY_VOID(
        transaction.any_scan_orphans(table, column, parents, {}, [&places](const AnyRow& row) {
          places.push_back(row.place());
          return places.size() < at_once ? Go::on : Go::stop;
        }));
    if (places.empty()) {
      return moved;
    }
    for (Place& place : places) {
      THAW_TRY_VOID(move_row(transaction, {&table, std::move(place), object, reason}));
      ++moved;
    }
    THAW_TRY_VOID(keep_bounded(transaction));
  }
}

Result<std::map<std::string, std::int64_t>> count_set_aside(Transaction& transaction) {
  std::map<std::string, std::int64_t> counts;
  THAW_TRY_VOID(transaction.scan(
      aside, {.by = &aside.arrival}, {AsideColumn::origin},
      [&counts](const Row<AsideColumn>& row) { ++counts[row.text(AsideColumn::origin)]; }));
  return counts;
}

}  // namespace thaw::store
