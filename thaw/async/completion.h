// SPDX-License-Identifier: Apache-2.0
//
// Completion: one task waits for one thing that happens exactly once and cannot be called off,
// such as a commit that is on its way to the disk. Unlike Event it has a memory and is not ended
// by cancellation, so what follows the wait always knows how the thing ended. Loop thread only.
#pragma once

#include <memory>

#include "thaw/async/task.h"

namespace thaw::async {

class Completion {
 public:
  Completion();
  ~Completion();
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Ends the wait: at once if it has begun, else when it begins. The task resumes later, not
  // inside this call.
  void complete();
  bool done() const;
  // For one task. A cancellation that arrives meanwhile is seen at the task's next wait. Resumes
  // also when the Completion is destroyed.
  boost::asio::awaitable<void> wait();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace thaw::async
