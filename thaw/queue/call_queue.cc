// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/call_queue.h"

#include <algorithm>
#include <utility>

#include "thaw/queue/detail/queue.h"
#include "thaw/queue/detail/tables.h"

namespace thaw::queue {

namespace detail {

void Queue::report(Line& line) {
  if (!notify_ || line.reported) {
    return;
  }
  line.reported = true;
  to_report_.push_back(&line);
  if (to_report_.size() > 1) {
    return;
  }
  loop_.post([this, alive = alive_] {
    if (!*alive) {
      return;
    }
    const std::vector<Line*> changed = std::exchange(to_report_, {});
    for (Line* one : changed) {
      one->reported = false;
    }
    for (const Line* one : changed) {
      notify_(one->target);
    }
  });
}

Demand Queue::demand(const Target& target) const {
  Demand demand;
  if (const auto found = lines_.find(target); found != lines_.end()) {
    const Line& line = *found->second;
    demand.ready = line.ready.size();
    demand.leased = line.leased;
    demand.unfinished = line.unfinished;
    if (!line.ready.empty()) {
      demand.oldest_ready = line.ready.front()->ready_since;
    }
  }
  return demand;
}

std::optional<CallId> Queue::call_of(const InputId& input) const {
  const auto found = inputs_.find(input);
  return found == inputs_.end() ? std::nullopt : std::optional(found->second->call->call.id);
}

std::vector<LeasedInput> Queue::leased_by(const ContainerId& container) const {
  std::vector<LeasedInput> leases;
  if (const auto found = containers_.find(container); found != containers_.end()) {
    for (const Input* input : found->second) {
      leases.push_back(leased(*input));
    }
  }
  return leases;
}

bool Queue::works_on(const ContainerId& container, const CallId& call) const {
  const auto found = containers_.find(container);
  return found != containers_.end() &&
         std::any_of(found->second.begin(), found->second.end(),
                     [&](const Input* input) { return input->call->call.id == call; });
}

std::vector<Target> Queue::targets_with_demand() const {
  std::vector<Target> targets;
  for (const auto& [target, line] : lines_) {
    if (!line->ready.empty()) {
      targets.push_back(target);
    }
  }
  return targets;
}

}  // namespace detail

std::vector<store::Migration> migrations() { return detail::table_steps(); }

Result<std::unique_ptr<CallQueue>> CallQueue::open(async::Loop& loop, store::Database& database,
                                                   QueueLimits limits, store::DiskShares* disk,
                                                   store::BlobStore* blobs) {
  auto queue = std::make_unique<detail::Queue>(loop, database, limits, disk, blobs);
  THAW_TRY_VOID(queue->load());
  return queue;
}

}  // namespace thaw::queue
