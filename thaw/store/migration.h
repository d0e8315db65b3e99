// SPDX-License-Identifier: Apache-2.0
//
// Migration: a step from the tables that were to those that are to be, as data. Versions are 1, 2,
// 3 … without gaps for each owner (a module's name), and each runs once, in a transaction. A step
// that was released never changes: folders of then are opened by it. So it says names, not the
// columns of today's enums.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "thaw/store/transaction.h"

namespace thaw::store {

enum class Nulls : std::uint8_t { no, yes };

struct NewColumn {
  std::string name;
  Type type;
  Nulls nulls = Nulls::no;
  // What rows have that do not say; also those that are there before the column is.
  std::variant<std::monostate, std::int64_t, std::string> otherwise{};
  std::optional<std::int64_t> always{};  // the only number that it may have
};

struct AddTable {
  std::string name;
  std::vector<NewColumn> columns;
  // One column of integers in a numbered table is the rows' number.
  std::vector<std::string> key;
  Rows rows = Rows::numbered;
  std::vector<std::vector<std::string>> unique{};  // columns that no two rows share
};
struct DropTable {
  std::string name;
};
struct RenameTable {
  std::string from;
  std::string to;
};
struct AddColumn {
  std::string table;
  NewColumn column;
};
struct RenameColumn {
  std::string table;
  std::string from;
  std::string to;
};
struct IndexCondition {
  std::string column;
  AnyCondition::Is is;
  std::int64_t number = 0;
};
struct AddIndex {
  std::string name;
  std::string table;
  std::vector<std::string> columns;
  std::vector<IndexCondition> only{};  // all of them
};
struct DropIndex {
  std::string name;
};
// Copies rows from one form to another, by verbs on tables that the step declares for itself.
struct Rewrite {
  std::function<Result<void>(Transaction&)> work;
};

using Step = std::variant<AddTable, DropTable, RenameTable, AddColumn, RenameColumn, AddIndex,
                          DropIndex, Rewrite>;

struct Migration {
  std::string owner;
  int version;
  std::vector<Step> steps;
};

}  // namespace thaw::store
