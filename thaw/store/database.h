// SPDX-License-Identifier: Apache-2.0
//
// Database: metadata and the durable queue in SQLite (WAL, synchronous=FULL). One writer thread
// takes transactions from a bounded queue and commits them in groups; a write's task resumes after
// COMMIT has reached the disk, so what was acknowledged survives kill -9 and power loss. Reads run
// on a few connections that can neither write nor checkpoint: SQLite before 3.51.3 may damage a WAL
// database that two connections write or checkpoint at once. Nothing above store/ knows SQLite:
// callers see the verbs of a Transaction.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/loop.h"
#include "thaw/async/task.h"
#include "thaw/store/migration.h"

namespace thaw::store {

struct DatabaseOptions {
  std::string path;
  std::vector<Migration> migrations;
  enum class Sync { full, normal } sync = Sync::full;
  int readers = 2;
  std::size_t queue_limit = 10'000;  // waiting writes before resource_exhausted
  // When commits that were acknowledged are missing (with Sync::full): refuse to open it, or go on
  // with what is left.
  enum class Loss { refuse, accept } loss = Loss::refuse;
};

class Database {
 public:
  // Opens or makes the file and migrates it. data_loss if it is damaged (says what to do);
  // failed_precondition if it was written by a newer Thaw.
  static Result<std::unique_ptr<Database>> open(async::Loop& loop, DatabaseOptions options);
  virtual ~Database() = default;

  // Runs `work` on the writer thread inside a group commit (its own savepoint: an Error undoes
  // only its own changes) and resumes after the COMMIT. `work` touches no loop-owned object.
  template <class T>
  async::Task<T> write(std::function<Result<T>(Transaction&)> work);
  // Runs `work` on a reader thread.
  template <class T>
  async::Task<T> read(std::function<Result<T>(Transaction&)> work);
  // Fire-and-forget write for records nobody waits for (usage, last-used times); errors are logged.
  virtual void write_later(std::function<Result<void>(Transaction&)> work) = 0;
  // Synchronous read, for start-up before the loop runs.
  virtual Result<void> read_now(const std::function<Result<void>(Transaction&)>& work) = 0;
  // Gives back the memory of the pages that are kept for the next read; they are read from the file
  // again then. Resumes when that is done; reads wait meanwhile (some milliseconds).
  virtual async::Task<void> release_memory() = 0;
  // Commits what waits and joins the threads.
  virtual void close() = 0;

 protected:
  // `done` runs on the loop thread after the commit (or the failure).
  virtual async::Task<void> submit_write(std::function<Result<void>(Transaction&)> work) = 0;
  virtual async::Task<void> submit_read(std::function<Result<void>(Transaction&)> work) = 0;
};

template <class T>
async::Task<T> Database::write(std::function<Result<T>(Transaction&)> work) {
  if constexpr (std::is_void_v<T>) {
    co_return co_await submit_write(std::move(work));
  } else {
    auto out = std::make_shared<std::optional<T>>();
    std::function<Result<void>(Transaction&)> wrapped =
        [work = std::move(work), out](Transaction& transaction) -> Result<void> {
      THAW_TRY(T value, work(transaction));
      out->emplace(std::move(value));
      return ok();
    };
    THAW_CO_TRY_VOID(co_await submit_write(std::move(wrapped)));
    co_return std::move(**out);
  }
}

template <class T>
async::Task<T> Database::read(std::function<Result<T>(Transaction&)> work) {
  if constexpr (std::is_void_v<T>) {
    co_return co_await submit_read(std::move(work));
  } else {
    auto out = std::make_shared<std::optional<T>>();
    std::function<Result<void>(Transaction&)> wrapped =
        [work = std::move(work), out](Transaction& transaction) -> Result<void> {
      THAW_TRY(T value, work(transaction));
      out->emplace(std::move(value));
      return ok();
    };
    THAW_CO_TRY_VOID(co_await submit_read(std::move(wrapped)));
    co_return std::move(**out);
  }
}

}  // namespace thaw::store
