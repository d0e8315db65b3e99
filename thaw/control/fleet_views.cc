// SPDX-License-Identifier: Apache-2.0
// Containers for people: those that live and the last that ended.
#include <algorithm>

#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"

namespace thaw::control {

std::string_view status_name(Status status) {
  switch (status) {
    case Status::starting: return "starting";
    case Status::warm: return "warm";
    case Status::frozen: return "frozen";
    case Status::busy: return "busy";
    case Status::stopping: return "stopping";
    case Status::stopped: return "stopped";
  }
  return "stopped";
}

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::none: return "";
    case StopReason::idle: return "idle";
    case StopReason::made_room: return "made room for another function";
    case StopReason::replaced: return "replaced by a new version";
    case StopReason::app_stopped: return "app stopped";
    case StopReason::single_use: return "single use";
    case StopReason::timeout: return "an input ran past its timeout";
    case StopReason::user: return "stopped by request";
    case StopReason::shutdown: return "server stopped";
    case StopReason::limit: return "it went past a limit";
  }
  return "";
}

std::size_t Fleet::running_count(const model::FunctionId& function) const {
  const auto found = pools_.find(function);
  return found == pools_.end() ? 0 : found->second->containers.size();
}
std::vector<model::MountId> Fleet::mounts_in_use() const {
  std::vector<model::MountId> mounts;
  for (const auto& [id, container] : containers_) {
    const auto& own = container->spec->mounts;
    mounts.insert(mounts.end(), own.begin(), own.end());
  }
  return mounts;
}

Duration Fleet::call_time_of(const model::FunctionId& function) const {
  const auto found = pools_.find(function);
  return found == pools_.end() ? Duration::zero() : found->second->call_time;
}

std::vector<ContainerView> Fleet::containers() const {
  std::vector<ContainerView> views;
  for (const auto& [id, c] : containers_) {
    if (c->status == Status::stopped) {  // it is among the finished ones, and being removed
      continue;
    }
    ContainerView view{id,
                       c->spec,
                       c->status,
                       c->level,
                       c->moments,
                       c->created_at,
                       c->inputs.size() + c->proxied,
                       c->calls_served,
                       0,
                       0,
                       "",
                       {},
                       c->clock.times(monotonic_now()),
                       c->thaw_time,
                       {}};
    if (c->running) {
      view.fallbacks = c->running->fallbacks();
      view.memory_bytes = c->running->sandbox().memory_bytes();
      view.pid = c->running->sandbox().pid();
    }
    view.lived = wall_now() - c->created_at;
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const auto& a, const auto& b) { return a.created_at < b.created_at; });
  return views;
}

std::vector<ContainerView> Fleet::finished_starts() const {
  return {finished_.begin(), finished_.end()};
}

StateTimes Fleet::container_times() const {
  StateTimes sum = ended_times_;
  for (const auto& [id, container] : containers_) {
    for (const auto& [status, time] : container->clock.times(monotonic_now())) {
      sum[status] += time;
    }
  }
  return sum;
}

void Fleet::remember(const Container& c, std::string end) {
  const StateTimes times = c.clock.times(monotonic_now());
  for (const auto& [status, time] : times) {
    ended_times_[status] += time;
  }
  finished_.push_back({c.id, c.spec, Status::stopped, c.level, c.moments, c.created_at, 0,
                       c.calls_served, 0, 0, std::move(end), wall_now() - c.created_at, times,
                       c.thaw_time,
                       c.running ? c.running->fallbacks() : std::vector<worker::Fallback>{}});
  if (finished_.size() > options_.kept_starts) {
    finished_.pop_front();
  }
}

}  // namespace thaw::control
