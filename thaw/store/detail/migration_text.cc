// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/migration_text.h"

#include <algorithm>
#include <string_view>

#include "thaw/base/check.h"

namespace thaw::store::detail {

namespace {

std::string_view name_of(Type type) {
  switch (type) {
    case Type::integer: return "INTEGER";
    case Type::real: return "REAL";
    case Type::text: return "TEXT";
    case Type::bytes: break;
  }
  return "BLOB";
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    out += c == '\'' ? "''" : std::string(1, c);
  }
  return out + "'";
}

std::string text_of(const NewColumn& column) {
  std::string text = column.name + " " + std::string(name_of(column.type));
  text += column.nulls == Nulls::no ? " NOT NULL" : "";
  if (const auto* number = std::get_if<std::int64_t>(&column.otherwise)) {
    text += " DEFAULT " + std::to_string(*number);
  } else if (const auto* words = std::get_if<std::string>(&column.otherwise)) {
    text += " DEFAULT " + quoted(*words);
  }
  if (column.always) {
    text += " CHECK (" + column.name + " = " + std::to_string(*column.always) + ")";
  }
  return text;
}

struct Writer {
  std::string operator()(const AddTable& table) const {
    std::string text = "CREATE TABLE " + table.name + " (";
    for (const NewColumn& column : table.columns) {
      text += text_of(column) + ", ";
    }
    text += "PRIMARY KEY (" + list_of(table.key) + ")";
    for (const auto& columns : table.unique) {
      text += ", UNIQUE (" + list_of(columns) + ")";
    }
    return text + (table.rows == Rows::keyed ? ") WITHOUT ROWID" : ")");
  }
  std::string operator()(const DropTable& table) const { return "DROP TABLE " + table.name; }
  std::string operator()(const RenameTable& table) const {
    return "ALTER TABLE " + table.from + " RENAME TO " + table.to;
  }
  std::string operator()(const AddColumn& step) const {
    return "ALTER TABLE " + step.table + " ADD COLUMN " + text_of(step.column);
  }
  std::string operator()(const RenameColumn& step) const {
    return "ALTER TABLE " + step.table + " RENAME COLUMN " + step.from + " TO " + step.to;
  }
  std::string operator()(const AddIndex& index) const {
    std::string text =
        "CREATE INDEX " + index.name + " ON " + index.table + " (" + list_of(index.columns) + ")";
    const char* before = " WHERE ";
    for (const IndexCondition& condition : index.only) {
      text += before + condition.column;
      text += condition.is == AnyCondition::Is::null  ? " IS NULL"
              : condition.is == AnyCondition::Is::set ? " IS NOT NULL"
                                                      : " = " + std::to_string(condition.number);
      before = " AND ";
    }
    return text;
  }
  std::string operator()(const DropIndex& index) const { return "DROP INDEX " + index.name; }
  std::string operator()(const Rewrite&) const {
    THAW_CHECK(false);
    return {};
  }
};

}  // namespace

std::string text_of(const Step& step) { return std::visit(Writer(), step); }

}  // namespace thaw::store::detail
