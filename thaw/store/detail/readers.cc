// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/readers.h"

#include <utility>

namespace thaw::store::detail {

Result<void> read_in_transaction(Connection& connection,
                                 const std::function<Result<void>(Transaction&)>& work) {
  THAW_TRY_VOID(connection.run("BEGIN", {}));
  Result<void> result = run_guarded(work, connection);
  if (connection.in_transaction()) {
    [[maybe_unused]] const auto ended = connection.run("ROLLBACK", {});
  }
  return result;
}

Readers::Readers(std::vector<std::shared_ptr<Connection>> connections, std::size_t waiting_limit)
    : free_(std::move(connections)),
      waiting_limit_(waiting_limit),
      threads_(static_cast<unsigned>(free_.size())) {}

async::Task<void> Readers::read(std::shared_ptr<Readers> self,
                                std::function<Result<void>(Transaction&)> work) {
  while (self->free_.empty() && !self->closed_) {
    if (self->waiting_ >= self->waiting_limit_) {
      co_return Error::resource_exhausted("too many reads wait for the database; try again");
    }
    ++self->waiting_;
    const auto freed = co_await self->freed_.wait(Instant::max());
    --self->waiting_;
    if (!freed) {
      co_return freed.error();
    }
  }
  if (self->closed_) {
    co_return Error::unavailable("the database is closed");
  }
  const std::shared_ptr<Connection> connection = std::move(self->free_.back());
  self->free_.pop_back();
  auto run = [connection, work = std::move(work)] {
    return read_in_transaction(*connection, work);
  };
  Result<void> result = co_await async::blocking(self->threads_, std::move(run));
  self->free_.push_back(connection);
  self->freed_.notify_one();
  co_return result;
}

async::Task<void> Readers::release_memory(std::shared_ptr<Readers> self) {
  if (self->closed_ || self->free_.empty()) {
    co_return ok();
  }
  const auto taken = std::exchange(self->free_, {});
  auto run = [taken] {
    for (const auto& connection : taken) {
      connection->release_memory();
    }
    return ok();
  };
  const Result<void> result = co_await async::blocking(self->threads_, std::move(run));
  self->free_.insert(self->free_.end(), taken.begin(), taken.end());
  self->freed_.notify_all();
  co_return result;
}

void Readers::close() {
  if (std::exchange(closed_, true)) {
    return;
  }
  threads_.join();
  free_.clear();
  freed_.notify_all();
}

}  // namespace thaw::store::detail
