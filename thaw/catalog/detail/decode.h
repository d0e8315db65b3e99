// SPDX-License-Identifier: Apache-2.0
//
// What the stored forms share: how a record is read, and how times are written.
#pragma once

#include <cstdint>

#include "thaw/catalog/object_table.h"
#include "thaw/codec/fields.h"

namespace thaw::catalog::detail {

inline std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
inline std::int64_t nanos(Duration duration) { return duration.count(); }

// Of anything counted: no machine has more, and beyond it sums would not fit.
constexpr int most = 1'000'000'000;

// A damaged record is data loss, never a crash. `fill` takes the fields and the value.
template <class T, class F>
Result<T> decode(const StoredRecord& record, F fill) {
  const auto json = codec::parse_json(record.json);
  if (!json) {
    return Error::data_loss("the record cannot be read: it is " + json.error().message());
  }
  T value;
  codec::Fields fields(*json);
  fill(fields, value);
  THAW_TRY_VOID(fields.outcome());
  return value;
}

}  // namespace thaw::catalog::detail
