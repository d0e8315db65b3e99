// SPDX-License-Identifier: Apache-2.0
//
// Table: what is stored, as a constant that its owner declares: named columns with types, the key
// that no two rows share, and the indexes by which rows are found. The columns of a table are an
// enum of its own (from 0, in the order of `columns`), so that a column of another table does not
// compile. How tables come to be is a matter of migrations (migration.h); a Table says how they are
// today. Values only, any thread.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "thaw/base/check.h"

namespace thaw::store {

enum class Type : std::uint8_t { integer, real, text, bytes };

struct Column {
  std::string_view name;
  Type type;
};

// A column by its place in the table, which has at most 60.
using ColumnNumber = std::uint8_t;
constexpr ColumnNumber arrival_number = 63;  // of rows that are numbered: no column of the enum

template <class C>
constexpr ColumnNumber number_of_column(C column) {
  return static_cast<ColumnNumber>(column);
}

// What a row must be like to stand in an index.
struct AnyCondition {
  ColumnNumber column = 0;
  enum class Is : std::uint8_t { null, set, equal } is = Is::set;
  std::int64_t number = 0;  // with Is::equal
};
template <class C>
struct Condition : AnyCondition {};
template <class C>
constexpr Condition<C> is_null(C column) {
  return {{number_of_column(column), AnyCondition::Is::null, 0}};
}
template <class C>
constexpr Condition<C> is_set(C column) {
  return {{number_of_column(column), AnyCondition::Is::set, 0}};
}
template <class C>
constexpr Condition<C> equals(C column, std::int64_t number) {
  return {{number_of_column(column), AnyCondition::Is::equal, number}};
}

struct AnyIndex {
  std::string_view name;  // empty: that of the key, or of columns that are unique together
  std::array<ColumnNumber, 4> columns{};
  std::uint8_t column_count = 0;
  std::array<AnyCondition, 2> conditions{};
  std::uint8_t condition_count = 0;
};

// Rows in the order of some columns. One without a name is kept by a promise that no two rows are
// the same in them.
template <class C>
struct Index : AnyIndex {
  constexpr Index(std::string_view index_name, std::initializer_list<C> of,
                  std::initializer_list<Condition<C>> only = {}) {
    name = index_name;
    for (const C column : of) {
      columns[column_count++] = number_of_column(column);
    }
    for (const Condition<C>& condition : only) {
      conditions[condition_count++] = condition;
    }
  }
  constexpr Index(std::initializer_list<C> of) : Index({}, of) {}
};

// numbered: each row has a number, in the order of arrival, beside its key. keyed: only the key,
// in whose order the rows lie.
enum class Rows : std::uint8_t { numbered, keyed };

struct AnyTable {
  std::string_view name;
  std::span<const Column> columns;
  AnyIndex key;
  Rows rows;
};

template <class C>
struct Table : AnyTable {
  constexpr Table(std::string_view table_name, std::span<const Column> table_columns,
                  std::initializer_list<C> key_columns, Rows kind)
      : AnyTable{table_name, table_columns, Index<C>(key_columns), kind} {
    arrival.columns[arrival.column_count++] = arrival_number;
  }
  Index<C> arrival{};  // for ranges of a numbered table
};

// A value that a verb is given: a view of what the caller has, which lives until the verb is done.
// Characters are stored as text or as bytes, as their column says.
class Value {
 public:
  using Any = std::variant<std::nullptr_t, std::int64_t, double, std::string_view>;

  constexpr Value() = default;
  constexpr Value(std::nullptr_t) {}
  template <std::integral T>
  constexpr Value(T number) : any_(static_cast<std::int64_t>(number)) {}
  constexpr Value(double number) : any_(number) {}
  constexpr Value(std::string_view text) : any_(text) {}
  constexpr Value(const char* text) : any_(std::string_view(text)) {}
  Value(const std::string& text) : any_(std::string_view(text)) {}
  template <class T>
  constexpr Value(const std::optional<T>& perhaps)
      : any_(perhaps ? Value(*perhaps).any() : Any(nullptr)) {}
  constexpr const Any& any() const { return any_; }

 private:
  Any any_ = nullptr;
};

// Some values of the columns of an index, from its first on.
class Values {
 public:
  Values() = default;
  Values(std::initializer_list<Value> values) {
    THAW_CHECK(values.size() <= all_.size());
    for (const Value& value : values) {
      all_[count_++] = value;
    }
  }
  std::span<const Value> all() const { return {all_.data(), count_}; }
  std::size_t size() const { return count_; }

 private:
  std::array<Value, 4> all_;
  std::size_t count_ = 0;
};

struct AnyField {
  // keep: only where there is nothing yet. add: to the number that is there.
  enum class How : std::uint8_t { set, keep, add };
  ColumnNumber column;
  How how;
  Value value;
};
// What a column is to be.
template <class C>
struct Field {
  Field(C column, Value value, AnyField::How how = AnyField::How::set)
      : any{number_of_column(column), how, value} {}
  AnyField any;
};
template <class C>
Field<C> keep(C column, Value value) {
  return {column, value, AnyField::How::keep};
}
template <class C>
Field<C> add(C column, std::int64_t number) {
  return {column, number, AnyField::How::add};
}

struct AnyColumns {
  std::uint64_t values = 0;
  std::uint64_t sizes = 0;
};
// Those that are read of each row. Of `sizes` only how many bytes they have is: that is cheap
// however many they are.
template <class C>
struct Columns : AnyColumns {
  constexpr Columns(std::initializer_list<C> wanted) { values = mask(wanted); }
  constexpr Columns with_sizes(std::initializer_list<C> of) const {
    Columns more = *this;
    more.sizes |= mask(of);
    return more;
  }

 private:
  static constexpr std::uint64_t mask(std::initializer_list<C> columns) {
    std::uint64_t bits = 0;
    for (const C column : columns) {
      bits |= std::uint64_t{1} << number_of_column(column);
    }
    return bits;
  }
};

enum class Order : std::uint8_t { ascending, descending };
constexpr std::int64_t no_limit = -1;

// Rows of a table that lie side by side in one of its indexes; without one, in its key.
template <class C>
struct Range {
  const Index<C>* by = nullptr;
  Values with;                     // what the index's first columns are
  Values from, after, to, before;  // of those behind them: >=, >, <=, <
  Order order = Order::ascending;  // of the index
  std::int64_t limit = no_limit;   // so many rows
};
// A range without its index: a view of it.
struct Bounds {
  static inline const Values none{};
  const Values& with;
  const Values& from = none;
  const Values& after = none;
  const Values& to = none;
  const Values& before = none;
  Order order = Order::ascending;
  std::int64_t limit = no_limit;
};

// Which row it is, with the types that its key really has on disk. Owned; of one table.
struct Place {
  using Part = std::variant<std::nullptr_t, std::int64_t, double, std::string, std::vector<char>>;
  std::int64_t number = 0;  // of a numbered row
  std::vector<Part> key;    // of a keyed one
};

// What is really there, whatever the column is declared as.
enum class Stored : std::uint8_t { null, integer, real, text, bytes };

// The row that is visited, and only as long as it is.
class AnyRow {
 public:
  virtual std::int64_t integer(ColumnNumber column) const = 0;  // 0 of null
  virtual double real(ColumnNumber column) const = 0;
  virtual std::string_view view(ColumnNumber column) const = 0;  // text or bytes; "" of null
  virtual std::size_t size(ColumnNumber column) const = 0;       // in bytes
  virtual Stored stored(ColumnNumber column) const = 0;
  virtual std::int64_t number() const = 0;
  virtual Place place() const = 0;

 protected:
  ~AnyRow() = default;
};

template <class C>
class Row {
 public:
  explicit Row(const AnyRow& row) : row_(row) {}
  std::int64_t integer(C column) const { return row_.integer(number_of_column(column)); }
  double real(C column) const { return row_.real(number_of_column(column)); }
  std::string_view view(C column) const { return row_.view(number_of_column(column)); }
  std::string text(C column) const { return std::string(view(column)); }
  std::size_t size(C column) const { return row_.size(number_of_column(column)); }
  Stored stored(C column) const { return row_.stored(number_of_column(column)); }
  bool is_null(C column) const { return stored(column) == Stored::null; }
  // In the order of arrival; of numbered tables.
  std::int64_t number() const { return row_.number(); }
  Place place() const { return row_.place(); }

 private:
  const AnyRow& row_;
};

}  // namespace thaw::store
