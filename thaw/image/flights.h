// SPDX-License-Identifier: Apache-2.0
//
// Flights: work under way, by key, so that two builds that need the same step share it. Whoever
// asks first starts the work, the others join: all hear its output (late ones what was kept of it
// first) and get its result. When the last one that waits is cancelled, the work is cancelled too,
// and that one stays until it has ended: nothing outlives those who wait for it. Loop thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/image/image_record.h"

namespace thaw::image {

using StopFlag = std::shared_ptr<std::atomic<bool>>;  // for work on pool threads

class Flights {
 public:
  explicit Flights(async::Loop& loop) : tasks_(loop) {}
  ~Flights();

  using Work = std::function<async::Task<ImageRecord>(BuildLog say, StopFlag stop)>;
  async::Task<ImageRecord> join(std::string key, Work work, BuildLog log);

 private:
  struct Flight;
  static async::Task<void> wait_for_listeners(std::shared_ptr<Flight> flight);
  static async::Task<void> run(Flights* self, std::string key, std::shared_ptr<Flight> flight,
                               Work work);
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::image
