// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/container_views.h"

#include <algorithm>

#include "thaw/control/disk_watch.h"

namespace thaw::control {

std::vector<model::MountId> ContainerViews::mounts_in_use() const {
  std::vector<model::MountId> mounts;
  for (const auto& [id, container] : pools_.containers()) {
    const auto& own = container->spec->mounts;
    mounts.insert(mounts.end(), own.begin(), own.end());
  }
  return mounts;
}

std::vector<DiskUser> ContainerViews::disk_users() const {
  std::vector<DiskUser> users;
  for (const auto& [id, container] : pools_.containers()) {
    if (!container->running || container->stopping() || container->status == Status::stopped) {
      continue;
    }
    DiskUser user;
    user.container = id;
    user.workspace = container->spec->workspace;
    user.asked_bytes = container->spec->resources.disk_bytes;
    user.found_no_room = container->start.volumes_are_full;
    user.writes_volumes =
        !container->start.volumes_are_full &&
        std::any_of(container->spec->volumes.begin(), container->spec->volumes.end(),
                    [](const model::VolumeMount& mount) {
                      return mount.access == model::VolumeMount::Access::read_write;
                    });
    users.push_back(std::move(user));
  }
  return users;
}

std::vector<ContainerView> ContainerViews::living() const {
  std::vector<ContainerView> views;
  for (const auto& [id, c] : pools_.containers()) {
    // It is among the finished ones, and being removed; or only a record of what was written.
    if (c->status == Status::stopped || !c->has_place) {
      continue;
    }
    ContainerView view{id,
                       c->spec,
                       c->status,
                       c->start.level,
                       c->start.moments,
                       c->created_at,
                       c->work.inputs.size() + c->work.proxied,
                       c->work.calls_served,
                       0,
                       0,
                       "",
                       {},
                       c->clock.times(monotonic_now()),
                       c->freezing.thaw_time,
                       {}};
    if (c->running) {
      view.fallbacks = c->running->fallbacks();
      view.memory_bytes = c->running->memory_bytes();
      view.pid = c->running->pid();
    }
    view.is_frozen = c->freezing.state == Freezing::State::yes;
    view.lived = wall_now() - c->created_at;
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const auto& a, const auto& b) { return a.created_at < b.created_at; });
  return views;
}

std::vector<ContainerView> ContainerViews::finished() const {
  return {finished_.begin(), finished_.end()};
}

std::string ContainerViews::end_of(const model::ContainerId& id) const {
  const auto found = std::find_if(finished_.rbegin(), finished_.rend(),
                                  [&](const ContainerView& view) { return view.id == id; });
  return found == finished_.rend() ? "" : found->end;
}

StateTimes ContainerViews::times() const {
  StateTimes sum = ended_times_;
  for (const auto& [id, container] : pools_.containers()) {
    for (const auto& [status, time] : container->clock.times(monotonic_now())) {
      sum[status] += time;
    }
  }
  return sum;
}

void ContainerViews::remember(const Container& c, std::string end) {
  const StateTimes times = c.clock.times(monotonic_now());
  for (const auto& [status, time] : times) {
    ended_times_[status] += time;
  }
  if (c.stands_by) {
    return;  // nobody's start has come of it
  }
  finished_.push_back({c.id, c.spec, Status::stopped, c.start.level, c.start.moments, c.created_at,
                       0, c.work.calls_served, 0, 0, std::move(end), wall_now() - c.created_at,
                       times, c.freezing.thaw_time,
                       c.running ? c.running->fallbacks() : std::vector<worker::Fallback>{}});
  if (finished_.size() > most_finished_) {
    finished_.pop_front();
  }
}

}  // namespace thaw::control
