// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/state_store.h"

#include <utility>

#include "thaw/async/every.h"
#include "thaw/state/detail/parts.h"

namespace thaw::state {

using async::Task;
using detail::Rows;

namespace {

constexpr Duration sweep_every = std::chrono::seconds(5);

}  // namespace

std::vector<store::Migration> migrations() { return detail::table_steps(); }

StateStore::StateStore(async::Loop& loop, std::unique_ptr<detail::Parts> parts)
    : parts_(std::move(parts)), dicts_(*parts_), queues_(*parts_), tasks_(loop) {}
StateStore::~StateStore() = default;

Result<std::unique_ptr<StateStore>> StateStore::open(async::Loop& loop, store::Database& database,
                                                     StateLimits limits, store::DiskShares* disk) {
  auto parts = std::make_unique<detail::Parts>(detail::Parts{database, limits, disk});
  THAW_TRY_VOID(database.read_now([&parts](store::Transaction& transaction) -> Result<void> {
    THAW_TRY(const auto uses, Rows(transaction, parts->limits, wall_now()).uses());
    for (const auto& [workspace, use] : uses) {
      parts->note(workspace, use);
    }
    return ok();
  }));
  // Before all that is asked for later.
  database.write_later([limits, now = wall_now()](store::Transaction& transaction) -> Result<void> {
    THAW_TRY(const auto said, Rows(transaction, limits, now).repair());
    detail::Parts::say(said);
    return ok();
  });
  return std::unique_ptr<StateStore>(new StateStore(loop, std::move(parts)));
}

void StateStore::start() {
  tasks_.start("dicts and queues", async::every(sweep_every, "ending entries of dicts and queues",
                                                [this] { return sweep(); }));
}

Task<void> StateStore::sweep() {
  std::function<Result<bool>(Rows&)> look = [](Rows& rows) { return rows.has_expired(); };
  THAW_CO_TRY(bool is_more, co_await detail::read(*parts_, std::move(look)));
  std::uint64_t entries = 0;
  std::uint64_t partitions = 0;
  while (is_more) {
    std::function<Result<Rows::Swept>(store::Transaction&)> work =
        [limits = parts_->limits, now = wall_now()](store::Transaction& transaction) {
          return Rows(transaction, limits, now).sweep();
        };
    THAW_CO_TRY(const Rows::Swept swept,
                co_await parts_->database.write<Rows::Swept>(std::move(work)));
    for (const auto& [workspace, use] : swept.uses) {
      parts_->note(workspace, use);
    }
    entries += swept.entries;
    partitions += swept.partitions;
    is_more = !swept.is_all;
  }
  if (entries + partitions > 0) {
    log_info("what nobody used in dicts and queues has ended",
             {{"entries", std::to_string(entries)}, {"partitions", std::to_string(partitions)}});
  }
  co_return ok();
}

Task<void> StateStore::erase(Object object) {
  if (object.kind == Object::Kind::queue) {
    queues_.end(object);
  }
  co_return co_await detail::erase_all(*parts_, std::move(object));
}

Task<std::vector<Object>> StateStore::objects(std::string after, std::size_t most) {
  std::function<Result<std::vector<Object>>(Rows&)> work =
      [after = std::move(after), most](Rows& rows) { return rows.objects(after, most); };
  co_return co_await detail::read(*parts_, std::move(work));
}

}  // namespace thaw::state
