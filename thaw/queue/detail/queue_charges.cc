// SPDX-License-Identifier: Apache-2.0
//
// What deliveries are charged, from the outcome's transaction until the ledger has it.
#include "thaw/queue/detail/queue.h"
#include "thaw/queue/detail/tables.h"

namespace thaw::queue::detail {

using State = Input::State;

void Queue::owe(const InputId& id, const ContainerId& container, OwedLine line) {
  const auto found = inputs_.find(id);
  if (found == inputs_.end() || found->second->container != container ||
      found->second->state != State::leased || !found->second->call->durable()) {
    return;
  }
  found->second->owed = std::move(line);
}

async::Task<std::vector<OwedLine>> Queue::owed(std::size_t most) {
  std::function<Result<std::vector<OwedLine>>(store::Transaction&)> work =
      [most](store::Transaction& transaction) -> Result<std::vector<OwedLine>> {
    std::vector<OwedLine> lines;
    THAW_TRY_VOID(transaction.scan(
        tables::owed_lines, {.limit = static_cast<std::int64_t>(most)},
        {OwedColumn::id, OwedColumn::line}, [&lines](const store::Row<OwedColumn>& row) {
          lines.push_back({row.text(OwedColumn::id), row.text(OwedColumn::line)});
        }));
    return lines;
  };
  co_return co_await database_.read<std::vector<OwedLine>>(std::move(work));
}

void Queue::settle(std::vector<std::string> ids) {
  if (ids.empty()) {
    return;
  }
  database_.write_later([ids = std::move(ids)](store::Transaction& transaction) -> Result<void> {
    for (const std::string& id : ids) {
      THAW_TRY_VOID(transaction.erase(tables::owed_lines, {id}));
    }
    return ok();
  });
}

}  // namespace thaw::queue::detail
