// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/pools.h"

#include <algorithm>

#include "thaw/codec/ids.h"
#include "thaw/control/metering.h"

namespace thaw::control {

Pools::Pools(PoolsParts parts, Graces graces, FreezerOptions freezer)
    : parts_(parts),
      graces_(graces),
      freezer_({parts.loop, [this](Container& c) { update(c); },
                [this] { return parts_.worker.memory(); }},
               freezer) {}

ContainerPtr Pools::find(const model::ContainerId& id) const {
  const auto found = containers_.find(id);
  return found == containers_.end() ? nullptr : found->second;
}

Result<ContainerPtr> Pools::get(const model::ContainerId& id) const {
  ContainerPtr container = find(id);
  // One whose program has ended is told nothing more, though its remains are still there.
  if (!container || container->status == Status::stopped) {
    return Error::not_found("container " + id.str() + " has ended");
  }
  return container;
}

PoolPtr Pools::find_pool(const model::Target& target) const {
  const auto found = pools_.find(target);
  return found == pools_.end() ? nullptr : found->second;
}

PoolPtr Pools::shared(const model::Target& target) {
  auto& pool = pools_[target];
  if (!pool) {
    pool = std::make_shared<Pool>(target);
  }
  return pool;
}

std::vector<PoolPtr> Pools::of_function(const model::FunctionId& function) const {
  std::vector<PoolPtr> found;
  for (auto pool = pools_.lower_bound(model::Target(function));
       pool != pools_.end() && pool->first.function == function; ++pool) {
    found.push_back(pool->second);
  }
  return found;
}

std::size_t Pools::count(const model::FunctionId& function) const {
  std::size_t count = 0;
  for (const PoolPtr& pool : of_function(function)) {
    count += pool->containers.size();
  }
  return count;
}

std::size_t Pools::count(const model::FunctionId& function, const std::string& version) const {
  std::size_t count = 0;
  for (const PoolPtr& pool : of_function(function)) {
    for (const model::ContainerId& id : pool->containers) {
      count += find(id)->spec->version == version ? 1 : 0;
    }
  }
  return count;
}

std::size_t Pools::places_taken() const {
  return static_cast<std::size_t>(std::count_if(containers_.begin(), containers_.end(),
                                                [](const auto& c) { return c.second->has_place; }));
}

bool Pools::is_crowded() const {
  const auto starting = std::count_if(containers_.begin(), containers_.end(), [](const auto& c) {
    return !c.second->start.reached_ready && !c.second->in_background();
  });
  return starting > 1 + static_cast<std::ptrdiff_t>(parts_.worker.processor_count() / 2);
}

ContainerPtr Pools::make(std::shared_ptr<const model::FunctionSpec> spec, meter::Cause cause) {
  auto container = std::make_shared<Container>();
  container->id = model::ContainerId(codec::random_container_id());
  container->target = model::Target(spec->id);
  container->spec = std::move(spec);
  container->created_at = wall_now();
  containers_[container->id] = container;
  parts_.metering.came(*container, cause);
  return container;
}

ContainerPtr Pools::add(const model::Target& target,
                        std::shared_ptr<const model::FunctionSpec> spec, meter::Cause cause) {
  ContainerPtr container = make(std::move(spec), cause);
  container->target = target;
  begin_life(*container);
  of(target).containers.insert(container->id);
  return container;
}

ContainerPtr Pools::add_for_snapshot(std::shared_ptr<const model::FunctionSpec> spec) {
  ContainerPtr container = make(std::move(spec), meter::Cause::snapshot);
  container->for_snapshot = true;
  parts_.metering.changed(*container, monotonic_now());  // in the ledger it lives from now on
  return container;
}

ContainerPtr Pools::add_standby(std::shared_ptr<const model::FunctionSpec> spec) {
  ContainerPtr container = make(std::move(spec), meter::Cause::ahead);
  container->stands_by = true;  // its life begins when it is launched, which may never be
  return container;
}

void Pools::adopt(const model::Target& target, Container& container) {
  container.stands_by = false;
  container.target = target;
  of(target).containers.insert(container.id);
  update(container);
}

void Pools::begin_life(Container& container) {
  const Instant now = monotonic_now();
  container.clock.enter(container.status, now);
  parts_.metering.changed(container, now);
}

void Pools::enter(Container& container) {
  if (container.clock.has_begun() || !container.stands_by) {
    begin_life(container);
  }
}

void Pools::update(Container& container) {
  if (container.status == Status::stopped) {
    return;  // it has ended, whatever it is told now
  }
  if (container.stopping()) {
    container.status = Status::stopping;
    if (container.idle() && container.ending.kill_at == Instant::max()) {
      // It was replaced while it worked, and has no more to do than to end.
      container.ending.kill_at = monotonic_now() + graces_.stop;
    }
  } else if (container.freezing.state == Freezing::State::yes) {
    container.status = container.stands_by ? Status::standby : Status::frozen;
  } else if (container.start.reached_ready && !container.stands_by) {
    container.status = container.idle() ? Status::warm : Status::busy;
  }
  enter(container);
  if (container.status == Status::warm) {
    note_memory(parts_.measurements, container, monotonic_now());
    freezer_.watch(container);
  } else if (container.stands_by && container.start.reached_ready && !container.stopping()) {
    freezer_.watch(container);
  }
}

model::Level Pools::awaken(Container& container) {
  const model::Level level = level_of(container);
  (void)freezer_.thaw(container);
  return level;
}

model::Level Pools::level_of(const Container& container) const {
  if (container.freezing.state == Freezing::State::yes) {
    return model::Level::frozen;
  }
  const bool first = container.work.calls_served == 0 && container.work.inputs.empty();
  return first && container.work.proxied == 0 ? container.start.level : model::Level::warm;
}

void Pools::stop(Container& container, StopReason reason, Duration grace) {
  if (!container.stopping()) {
    container.ending.reason = reason;
  }
  container.ending.kill_at = std::min(container.ending.kill_at, monotonic_now() + grace);
  const bool may_finish = reason == StopReason::replaced || reason == StopReason::made_way;
  if (container.start.reached_ready && !container.idle() && may_finish) {
    container.ending.kill_at = Instant::max();  // its calls keep their own time limits
  }
  (void)freezer_.thaw(container);
  update(container);
  container.wake.notify_all();
}

void Pools::ended(Container& container) {
  container.status = Status::stopped;
  freezer_.forget(container);
  enter(container);
  parts_.metering.ended(container, monotonic_now());
  if (!container.in_background()) {
    of(container.target).parked.remove(&container);
  }
  container.wake.notify_all();
}

void Pools::remove(const Container& container) {
  if (!container.in_background()) {
    of(container.target).containers.erase(container.id);
  }
  containers_.erase(container.id);
  if (container.status != Status::stopped) {
    parts_.metering.ended(container, monotonic_now());  // what a memory snapshot was made of
  }
  parts_.metering.gone(container);
  // The place that it had of its function's may be another version's now.
  for (const PoolPtr& pool : of_function(container.target.function)) {
    looks_.want(pool->target);
  }
}

void Pools::forget_pools(const model::FunctionId& function) {
  for (const PoolPtr& pool : of_function(function)) {
    pools_.erase(pool->target);
    looks_.forget(pool->target);
  }
}

void Pools::forget_unused(const std::function<bool(const model::Target&)>& is_gone) {
  std::erase_if(pools_, [&](const auto& entry) {
    const auto& [target, pool] = entry;
    return pool.use_count() == 1 && pool->containers.empty() && pool->port_waiters == 0 &&
           !looks_.contains(target) && is_gone(target);
  });
}

void Pools::look_at_who_waits() {
  for (const auto& [target, pool] : pools_) {
    if (pool->demanded != Instant{} || pool->wants_more) {
      looks_.want(target);
    }
  }
  looks_.hurry();
}

void Pools::shut_down() {
  shutting_down_ = true;
  for (const auto& [target, pool] : pools_) {
    pool->port_ready.notify_all();
  }
}

}  // namespace thaw::control
