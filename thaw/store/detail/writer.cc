// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/writer.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "thaw/base/log.h"

namespace thaw::store::detail {

namespace {

constexpr std::size_t most_in_a_group = 256;

// At the 1st, 2nd, 4th, 8th …, so that a flood of failures is not a flood of log lines.
bool is_to_be_said(std::uint64_t count) { return std::has_single_bit(count); }

}  // namespace

Writer::Writer(std::unique_ptr<Connection> connection, Commits commits, std::size_t queue_limit)
    : queue_limit_(queue_limit), connection_(std::move(connection)), commits_(std::move(commits)) {}

Result<std::shared_ptr<Writer::Operation>> Writer::enqueue(async::TaskGroup& tasks, Work work) {
  if (closed_) {
    return Error::unavailable("the database is closed");
  }
  if (queue_.size() >= queue_limit_) {
    return Error::resource_exhausted("too many writes wait for the disk (" +
                                     std::to_string(queue_limit_) + "); try again");
  }
  auto operation = std::make_shared<Operation>();
  operation->work = std::move(work);
  queue_.push_back(operation);
  if (!pumping_) {
    pumping_ = true;
    tasks.start("database writer", pump(shared_from_this()));
  }
  return operation;
}

async::Task<void> Writer::write(std::shared_ptr<Writer> self, async::TaskGroup& tasks, Work work) {
  THAW_CO_TRY(const std::shared_ptr<Operation> operation, self->enqueue(tasks, std::move(work)));
  operation->awaited = true;
  co_await operation->completion.wait();
  co_return std::move(operation->result);
}

void Writer::write_later(async::TaskGroup& tasks, Work work) {
  const auto operation = enqueue(tasks, std::move(work));
  if (operation) {
    return;
  }
  if (is_to_be_said(++dropped_)) {
    log_warning("background write dropped",
                {{"error", operation.error().to_string()}, {"dropped", std::to_string(dropped_)}});
  }
}

Writer::Batch Writer::take_batch() {
  const std::size_t count = std::min(queue_.size(), most_in_a_group);
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
  Batch batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return batch;
}

void Writer::finish(const Batch& batch) {
  for (const auto& operation : batch) {
    if (operation->result) {
      failed_later_ = 0;
    } else if (!operation->awaited && is_to_be_said(++failed_later_)) {
      log_warning("background write failed", {{"error", operation->result.error().to_string()},
                                              {"in a row", std::to_string(failed_later_)}});
    }
    operation->completion.complete();
  }
}

async::Task<void> Writer::pump(std::shared_ptr<Writer> self) {
  while (!self->queue_.empty()) {
    const auto batch = std::make_shared<const Batch>(self->take_batch());
    auto work = [self, batch] {
      self->run(*batch);
      return ok();
    };
    [[maybe_unused]] const auto done = co_await async::blocking(self->thread_, std::move(work));
    self->finish(*batch);
  }
  self->pumping_ = false;
  co_return ok();
}

async::Task<void> Writer::release_memory(std::shared_ptr<Writer> self) {
  if (self->closed_) {
    co_return ok();
  }
  auto work = [self] {
    self->connection_->release_memory();
    return ok();
  };
  co_return co_await async::blocking(self->thread_, std::move(work));
}

void Writer::close() {
  if (std::exchange(closed_, true)) {
    return;
  }
  thread_.join();
  while (!queue_.empty()) {
    const Batch batch = take_batch();
    run(batch);
    finish(batch);
  }
  connection_.reset();
}

void Writer::run(const Batch& batch) {
  for (std::size_t first = 0; first < batch.size();) {
    first = run_group(batch, first);
  }
}

// Runs transactions from `first` on and commits them; returns the first that is not in this group
// (because SQLite ended the transaction in the middle, as it does when the disk is full).
std::size_t Writer::run_group(const Batch& batch, std::size_t first) {
  std::size_t next = first;
  Result<void> outcome = connection_->script("BEGIN IMMEDIATE");
  if (!outcome) {
    batch[next++]->result = outcome.error();
    return next;
  }
  for (; next < batch.size() && outcome; ++next) {
    batch[next]->result = run_one(*batch[next]);
    if (!connection_->in_transaction()) {
      outcome = batch[next]->result
                    ? Error::internal("a database write ended the group's transaction")
                    : Result<void>(batch[next]->result.error());
    }
  }
  if (outcome) {
    outcome = commit();
  }
  if (connection_->in_transaction()) {
    [[maybe_unused]] const auto undone = connection_->script("ROLLBACK");
  }
  if (!outcome) {
    // Not tried again here: a transaction's work may have moved from what it captured.
    for (std::size_t i = first; i < next; ++i) {
      if (batch[i]->result) {
        batch[i]->result = outcome.error();
      }
    }
    if (!std::exchange(failing_, true)) {
      log_error("database writes fail", {{"error", outcome.error().to_string()}});
    }
  } else if (std::exchange(failing_, false)) {
    log_info("database writes succeed again");
  }
  return next;
}

Result<void> Writer::commit() {
  if (!commits_.counted) {
    return connection_->script("COMMIT");
  }
  THAW_TRY_VOID(connection_->run("UPDATE commits SET number = ?", {commits_.last + 1}));
  THAW_TRY_VOID(connection_->script("COMMIT"));
  commits_.mark.note(++commits_.last);
  return ok();
}

Result<void> Writer::run_one(Operation& operation) {
  THAW_TRY_VOID(connection_->run("SAVEPOINT one", {}));
  Result<void> result = run_guarded(operation.work, *connection_);
  if (!connection_->in_transaction()) {
    return result;
  }
  if (!result) {
    THAW_TRY_VOID(connection_->run("ROLLBACK TO one", {}));
  }
  THAW_TRY_VOID(connection_->run("RELEASE one", {}));
  return result;
}

}  // namespace thaw::store::detail
