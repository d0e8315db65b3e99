// SPDX-License-Identifier: Apache-2.0
//
// Event: tasks of one loop wait on it, others notify. It has no memory: a notification with no
// waiter is lost, so always test the condition first and wait in a loop:
//   while (queue.empty()) { THAW_CO_TRY(bool notified, co_await changed.wait(deadline)); … }
// The Event may be destroyed while tasks wait (they see cancelled).
#pragma once

#include <memory>

#include "thaw/async/task.h"

namespace thaw::async {

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  Event(Event&&) noexcept;
  Event& operator=(Event&&) noexcept;

  // true: notified; false: the deadline passed. Error::cancelled if the task was cancelled or the
  // Event destroyed. Instant::max() waits for ever.
  Task<bool> wait(Instant deadline);
  void notify_all();
  // Wakes the task that has waited longest.
  void notify_one();
  bool has_waiters() const;

  struct Waiters;

 private:
  std::shared_ptr<Waiters> waiters_;
};

}  // namespace thaw::async
