// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: the owner of background tasks. Nothing outlives its owner: an object that starts
// tasks has a TaskGroup and, before it is destroyed, awaits stop(). The destructor of a group that
// still has tasks cancels them, but cannot join; destroy it only after stop(), or together with
// the loop. Loop thread only.
#pragma once

#include <memory>
#include <string_view>

#include "thaw/async/loop.h"
#include "thaw/async/task.h"

namespace thaw::async {

class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  class Handle {
   public:
    Handle() = default;
    // Asks the task to end; it sees Error::cancelled at its next wait. Does nothing if it ended.
    void cancel();
    bool running() const { return !entry_.expired(); }

   private:
    friend class TaskGroup;
    struct Entry;
    explicit Handle(std::weak_ptr<Entry> entry) : entry_(std::move(entry)) {}
    std::weak_ptr<Entry> entry_;
  };

  // Starts `task`; called on the loop's thread it may run up to its first wait, or to its end,
  // before this returns. An Error
  // other than cancelled is logged with `name`.
  Handle start(std::string_view name, Task<void> task);
  // Cancels every task.
  void cancel();
  // Cancels every task and waits until all have ended.
  Task<void> stop();
  // Waits until all tasks have ended by themselves, at most until `deadline`; true if all ended.
  Task<bool> join(Instant deadline);
  std::size_t size() const;

 private:
  struct State;
  static boost::asio::awaitable<void> run(std::shared_ptr<State> state,
                                          std::shared_ptr<Handle::Entry> entry, Task<void> task);
  Loop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace thaw::async
