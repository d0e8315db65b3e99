// SPDX-License-Identifier: Apache-2.0
//
// Readers: a few read-only connections and as many threads. A read takes a free connection on the
// loop, runs on a thread inside one transaction (so it sees one moment), and gives the connection
// back. Loop thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/store/detail/connection.h"

namespace thaw::store::detail {

class Readers {
 public:
  Readers(std::vector<std::shared_ptr<Connection>> connections, std::size_t waiting_limit);

  static async::Task<void> read(std::shared_ptr<Readers> self,
                                std::function<Result<void>(Transaction&)> work);
  // Of the connections that are free now.
  static async::Task<void> release_memory(std::shared_ptr<Readers> self);
  // Waits for the reads that run.
  void close();

 private:
  std::vector<std::shared_ptr<Connection>> free_;
  std::size_t waiting_limit_;
  std::size_t waiting_ = 0;
  bool closed_ = false;
  async::Event freed_;
  async::Pool threads_;
};

// `work` inside one read transaction.
Result<void> read_in_transaction(Connection& connection,
                                 const std::function<Result<void>(Transaction&)>& work);

}  // namespace thaw::store::detail
