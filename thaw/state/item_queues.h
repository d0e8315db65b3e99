// SPDX-License-Identifier: Apache-2.0
//
// ItemQueues: ordered bytes in partitions, on disk. What is put is there when put() returns; what
// is taken is given to nobody else, and a request that comes a second time with the same RequestKey
// gets the same items. Who waits for an item sleeps until one is put, in order of arrival; a task
// that is cancelled has taken nothing: what was on its way goes back to its place. Waits are
// bounded for each asker. A partition ends some time after its last put. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/state/limits.h"
#include "thaw/state/object.h"

namespace thaw::state {

namespace detail {
struct Parts;
}

struct NumberedItem {
  std::int64_t number = 0;  // later ones have greater ones
  std::string value;
};

// How long to wait for an item, and whose wait it is.
struct Wait {
  Instant deadline{};
  std::string asker;  // such as a container
};

class ItemQueues {
 public:
  explicit ItemQueues(const detail::Parts& parts);
  ItemQueues(const ItemQueues&) = delete;
  ItemQueues& operator=(const ItemQueues&) = delete;
  ~ItemQueues();

  // All of them or none, at the end. `ttl`: the partition ends so long after its last put; zero:
  // as usual. out_of_range for what can never be taken; resource_exhausted when the partition,
  // the queue or the workspace is full.
  async::Task<void> put(Object queue, std::string partition, std::vector<std::string> items,
                        Duration ttl, RequestKey request);
  // Up to `most` of the first items, at least one; none: there was none until the deadline.
  // not_found: the queue is gone. resource_exhausted: too many wait.
  async::Task<std::vector<std::string>> take(Object queue, std::string partition, std::size_t most,
                                             Wait wait, RequestKey request);
  // Items behind the number `after`, without taking them; waits for some like take().
  async::Task<std::vector<NumberedItem>> look(Object queue, std::string partition,
                                              std::int64_t after, Wait wait);
  async::Task<std::uint64_t> size(Object queue, std::string partition);
  async::Task<QueueSize> size_of_all(Object queue);
  async::Task<void> clear(Object queue, std::string partition, RequestKey request);
  // Also what is put while it runs may go.
  async::Task<void> clear_all(Object queue, RequestKey request);

  // The queue is gone: who waits there is told.
  void end(const Object& queue);
  std::size_t waits() const;

 private:
  struct Book;  // of those who wait; shared with their frames

  async::Task<bool> is_worth_taking(Object queue, std::string partition, RequestKey request);
  async::Task<void> give_back(Object queue, std::string partition, RequestKey request);

  const detail::Parts& parts_;
  std::shared_ptr<Book> book_;
};

}  // namespace thaw::state
