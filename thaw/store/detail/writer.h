// SPDX-License-Identifier: Apache-2.0
//
// Writer: the one thread that changes a database. Transactions wait on the loop; whatever waits
// when the thread is free becomes one group, each transaction in its own savepoint, with one COMMIT
// (one sync of the disk) for all. While that runs the next group gathers, so groups grow with the
// load and a lone write waits for nobody. Loop thread, except run().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/completion.h"
#include "thaw/async/task_group.h"
#include "thaw/store/detail/commit_mark.h"
#include "thaw/store/detail/connection.h"

namespace thaw::store::detail {

using Work = std::function<Result<void>(Transaction&)>;

// The number of the last commit, and where it is noted outside of the database.
struct Commits {
  std::int64_t last = 0;
  bool counted = false;
  CommitMark mark;
};

class Writer : public std::enable_shared_from_this<Writer> {
 public:
  Writer(std::unique_ptr<Connection> connection, Commits commits, std::size_t queue_limit);

  static async::Task<void> write(std::shared_ptr<Writer> self, async::TaskGroup& tasks, Work work);
  void write_later(async::TaskGroup& tasks, Work work);
  static async::Task<void> release_memory(std::shared_ptr<Writer> self);
  // Commits what waits, on this thread, and closes the connection.
  void close();

 private:
  struct Operation {
    Work work;
    Result<void> result;
    async::Completion completion;
    bool awaited = false;
  };
  using Batch = std::vector<std::shared_ptr<Operation>>;

  Result<std::shared_ptr<Operation>> enqueue(async::TaskGroup& tasks, Work work);
  static async::Task<void> pump(std::shared_ptr<Writer> self);
  Batch take_batch();
  void finish(const Batch& batch);

  // The writer thread's part.
  void run(const Batch& batch);
  std::size_t run_group(const Batch& batch, std::size_t first);
  Result<void> run_one(Operation& operation);
  Result<void> commit();

  std::size_t queue_limit_;
  std::deque<std::shared_ptr<Operation>> queue_;
  bool pumping_ = false;
  bool closed_ = false;
  std::uint64_t dropped_ = 0;
  std::uint64_t failed_later_ = 0;  // in a row, of those that nobody waits for
  bool failing_ = false;            // said once, not with each group; the writer thread's
  std::unique_ptr<Connection> connection_;
  Commits commits_;  // the writer thread's
  async::Pool thread_{1};
};

}  // namespace thaw::store::detail
