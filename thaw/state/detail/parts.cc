// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/detail/parts.h"

namespace thaw::state::detail {

async::Task<void> clear_all(const Parts& parts, Object object, RequestKey request) {
  std::function<Result<Changed<std::int64_t>>(Rows&)> next_number =
      [object](Rows& rows) -> Result<Changed<std::int64_t>> {
    Changed<std::int64_t> out;
    THAW_TRY(out.value, rows.next_number(object));
    THAW_TRY(out.use, rows.use(object.workspace));
    return out;
  };
  THAW_CO_TRY(const auto next, co_await change(parts, object.workspace, std::move(next_number)));
  while (true) {
    std::function<Result<Changed<bool>>(Rows&)> some = [object, request,
                                                        before = next.value](Rows& rows) {
      return rows.clear_some(object, before, request);
    };
    THAW_CO_TRY(const auto cleared, co_await change(parts, object.workspace, std::move(some)));
    if (cleared.value) {
      co_return ok();
    }
  }
}

async::Task<void> erase_all(const Parts& parts, Object object) {
  while (true) {
    std::function<Result<Changed<bool>>(Rows&)> some = [object](Rows& rows) {
      return rows.erase_some(object);
    };
    THAW_CO_TRY(const auto erased, co_await change(parts, object.workspace, std::move(some)));
    if (erased.value) {
      co_return ok();
    }
  }
}

}  // namespace thaw::state::detail
