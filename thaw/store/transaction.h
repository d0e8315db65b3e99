// SPDX-License-Identifier: Apache-2.0
//
// Transaction: the verbs on tables, inside one transaction of a Database: all of its changes are
// made or none, and it reads what it wrote. A verb costs one lookup in an index and no text: what
// the store needs to know of it is prepared once for each of its forms. A condition that no index
// has is the caller's, in code, on the rows that it visits. On a thread of the database; values
// that a verb is given are views, which live until it returns.
//
// Another store stands behind it by implementing the untyped verbs.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "thaw/base/result.h"
#include "thaw/store/table.h"

namespace thaw::store {

// Whether the next row is visited, too.
enum class Go : std::uint8_t { on, stop };

class Transaction {
 public:
  virtual ~Transaction() = default;

  // A new row; columns that are not named have what their migration says. already_exists if it is
  // not to be beside those that are there.
  template <class C>
  Result<void> insert(const Table<C>& table, std::initializer_list<Field<C>> fields) {
    THAW_TRY_VOID(any_insert(table, untyped(fields), Conflict::fail));
    return ok();
  }
  // The same, or nothing if it is not to be beside those that are there; says which.
  template <class C>
  Result<bool> put_if_absent(const Table<C>& table, std::initializer_list<Field<C>> fields) {
    THAW_TRY(const std::int64_t rows, any_insert(table, untyped(fields), Conflict::skip));
    return rows > 0;
  }
  // The row with this key, as it is to be; columns that are not named stay as they are.
  template <class C>
  Result<void> put(const Table<C>& table, std::initializer_list<Field<C>> fields) {
    THAW_TRY_VOID(any_insert(table, untyped(fields), Conflict::replace));
    return ok();
  }
  // Changes the row with this key; false if there is none.
  template <class C>
  Result<bool> update(const Table<C>& table, const Values& key,
                      std::initializer_list<Field<C>> fields) {
    THAW_TRY(const std::int64_t rows, any_update(table, key, untyped(fields)));
    return rows > 0;
  }
  template <class C>
  Result<bool> erase(const Table<C>& table, const Values& key) {
    THAW_TRY(const std::int64_t rows, any_erase(table, table.key, {.with = key}));
    return rows > 0;
  }
  // All of the range (which has no limit); how many.
  template <class C>
  Result<std::int64_t> erase_range(const Table<C>& table,
                                   const std::type_identity_t<Range<C>>& range) {
    return any_erase(table, index_of(table, range), bounds_of(range));
  }

  // Visits the row with this key; false if there is none.
  template <class C, class Visit>
  Result<bool> get(const Table<C>& table, const Values& key,
                   const std::type_identity_t<Columns<C>>& columns, const Visit& visit) {
    bool is_there = false;
    THAW_TRY_VOID(any_scan(table, table.key, {.with = key}, columns, [&](const AnyRow& row) {
      is_there = true;
      visit(Row<C>(row));
      return Go::on;
    }));
    return is_there;
  }
  // Visits the rows of the range in order, until there are no more or `visit` says so: it returns
  // nothing, a Go, or a Result of these, whose Error is the scan's. It may use other verbs, but not
  // change rows of this range.
  template <class C, class Visit>
  Result<void> scan(const Table<C>& table, const std::type_identity_t<Range<C>>& range,
                    const std::type_identity_t<Columns<C>>& columns, const Visit& visit) {
    Result<void> visited;
    THAW_TRY_VOID(any_scan(table, index_of(table, range), bounds_of(range), columns,
                           going_on<C>(visit, visited)));
    return visited;
  }
  // Whether there is a row in the range.
  template <class C>
  Result<bool> any_of(const Table<C>& table, std::type_identity_t<Range<C>> range) {
    bool is_there = false;
    range.limit = 1;
    THAW_TRY_VOID(
        any_scan(table, index_of(table, range), bounds_of(range), {}, [&is_there](const AnyRow&) {
          is_there = true;
          return Go::on;
        }));
    return is_there;
  }
  template <class C>
  Result<std::int64_t> count(const Table<C>& table, const std::type_identity_t<Range<C>>& range) {
    return any_count(table, index_of(table, range), bounds_of(range));
  }
  // Visits, in no order, rows whose `column` is the key of no row of `parents`.
  template <class C, class P, class Visit>
  Result<void> scan_orphans(const Table<C>& table, C column, const Table<P>& parents,
                            const std::type_identity_t<Columns<C>>& columns, const Visit& visit) {
    Result<void> visited;
    THAW_TRY_VOID(any_scan_orphans(table, number_of_column(column), parents, columns,
                                   going_on<C>(visit, visited)));
    return visited;
  }
  // The row that was visited there, whatever its key has become.
  template <class C>
  Result<void> erase_at(const Table<C>& table, const Place& place) {
    THAW_TRY_VOID(any_erase_at(table, place));
    return ok();
  }

  // What visits a row: a view of a callable.
  class Visitor {
   public:
    template <class Visit>
      requires(!std::same_as<Visit, Visitor>)
    Visitor(const Visit& visit)
        : visit_(&visit), call_([](const void* self, const AnyRow& row) {
            return (*static_cast<const Visit*>(self))(row);
          }) {}
    Go operator()(const AnyRow& row) const { return call_(visit_, row); }

   private:
    const void* visit_;
    Go (*call_)(const void*, const AnyRow&);
  };
  enum class Conflict : std::uint8_t { fail, skip, replace };

  // The untyped verbs. Those that change return the number of rows.
  virtual Result<std::int64_t> any_insert(const AnyTable& table, std::span<const AnyField> fields,
                                          Conflict conflict) = 0;
  virtual Result<std::int64_t> any_update(const AnyTable& table, const Values& key,
                                          std::span<const AnyField> fields) = 0;
  virtual Result<std::int64_t> any_erase(const AnyTable& table, const AnyIndex& index,
                                         const Bounds& bounds) = 0;
  virtual Result<std::int64_t> any_erase_at(const AnyTable& table, const Place& place) = 0;
  virtual Result<void> any_scan(const AnyTable& table, const AnyIndex& index, const Bounds& bounds,
                                const AnyColumns& columns, Visitor visit) = 0;
  virtual Result<void> any_scan_at(const AnyTable& table, const Place& place,
                                   const AnyColumns& columns, Visitor visit) = 0;
  virtual Result<void> any_scan_orphans(const AnyTable& table, ColumnNumber column,
                                        const AnyTable& parents, const AnyColumns& columns,
                                        Visitor visit) = 0;
  virtual Result<std::int64_t> any_count(const AnyTable& table, const AnyIndex& index,
                                         const Bounds& bounds) = 0;

 private:
  template <class C>
  static std::span<const AnyField> untyped(const std::initializer_list<Field<C>>& fields) {
    static_assert(sizeof(Field<C>) == sizeof(AnyField) && std::is_standard_layout_v<Field<C>>);
    return {&fields.begin()->any, fields.size()};
  }
  template <class C>
  static const AnyIndex& index_of(const Table<C>& table, const Range<C>& range) {
    return range.by == nullptr ? table.key : *range.by;
  }
  template <class C>
  static Bounds bounds_of(const Range<C>& range) {
    return {range.with, range.from, range.after, range.to, range.before, range.order, range.limit};
  }
  template <class C, class Visit>
  static auto going_on(const Visit& visit, Result<void>& visited) {
    return [&](const AnyRow& row) {
      using Said = std::invoke_result_t<Visit, Row<C>>;
      if constexpr (std::is_void_v<Said>) {
        visit(Row<C>(row));
        return Go::on;
      } else if constexpr (std::is_same_v<Said, Go>) {
        return visit(Row<C>(row));
      } else {
        Said said = visit(Row<C>(row));
        if (!said) {
          visited = std::move(said).error();
          return Go::stop;
        }
        if constexpr (std::is_same_v<Said, Result<Go>>) {
          return *said;
        } else {
          return Go::on;
        }
      }
    };
  }
};

}  // namespace thaw::store
