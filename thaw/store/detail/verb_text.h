// SPDX-License-Identifier: Apache-2.0
//
// The SQL text of a verb in one of its forms: which table and columns, which index, how many
// bounds. A form is what its statement is kept under, so the text is made once for each. The order
// in which values are bound is the order here: fields by the number of their column, then what the
// index's columns are, then bounds (from, after, to, before), then the limit. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "thaw/store/transaction.h"

namespace thaw::store::detail {

struct VerbForm {
  enum class Verb : std::uint8_t {
    insert,
    insert_or_skip,
    insert_or_replace,
    update,
    erase,
    erase_at,
    scan,
    scan_at,
    scan_orphans,
    count
  };
  const AnyTable* table = nullptr;
  const void* other = nullptr;  // the index; of scan_orphans the parents' table
  std::uint64_t set = 0;        // columns of fields
  std::uint64_t kept = 0;
  std::uint64_t added = 0;
  std::uint64_t values = 0;  // columns that are read
  std::uint64_t sizes = 0;
  Verb verb = Verb::scan;
  std::uint8_t with = 0, from = 0, after = 0, to = 0, before = 0;  // so many values
  ColumnNumber column = 0;                                         // of scan_orphans
  Order order = Order::ascending;

  bool operator==(const VerbForm&) const = default;
};

struct HashOfForm {
  std::size_t operator()(const VerbForm& form) const;
};

std::string text_of(const VerbForm& form);
// With what places need: the key's columns of a keyed table.
std::uint64_t read_columns(const AnyTable& table, const AnyColumns& columns);

}  // namespace thaw::store::detail
