// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/invariants.h"

namespace thaw::control {

namespace {

using Broken = std::vector<std::string>;

void check_pool(const Pools& pools, const model::Target& target, const Pool& pool, Broken& broken) {
  const std::string name = "the pool of " + target.str();
  if (pool.target != target) {
    broken.push_back(name + " is that of " + pool.target.str());
  }
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = pools.find(id);
    if (!container) {
      broken.push_back(name + " has " + id.str() + ", which is gone");
    } else if (container->in_background() || container->target != target ||
               container->spec->id != target.function) {
      broken.push_back(name + " has " + id.str() + ", which does not belong there");
    } else if (target.is_pinned() && container->spec->version != target.version) {
      broken.push_back(name + " has " + id.str() + ", which runs " + container->spec->version);
    }
  }
  for (const Container* parked : pool.parked) {
    if (!pool.containers.contains(parked->id)) {
      broken.push_back(parked->id.str() + " waits in " + name + " and is not in it");
    }
  }
}

void check_status(const Container& container, Broken& broken) {
  const auto is = [&](Status status) { return container.status == status; };
  const std::string name = container.id.str() + " is " + std::string(status_name(container.status));
  const bool is_frozen = container.freezing.state == Freezing::State::yes;
  if ((is(Status::warm) || is(Status::frozen)) && !container.idle()) {
    broken.push_back(name + " and not idle");
  }
  if (is(Status::busy) && container.idle()) {
    broken.push_back(name + " and idle");
  }
  if (is(Status::standby) !=
      (container.stands_by && !container.stopping() && !is(Status::stopped))) {
    broken.push_back(name + (container.stands_by ? " and stands by" : " and is somebody's"));
  }
  if (is(Status::frozen) != (is_frozen && !container.stands_by)) {
    broken.push_back(name + (is_frozen ? " and was frozen" : " and was not frozen"));
  }
  if (is(Status::starting) && container.start.reached_ready) {
    broken.push_back(name + " and has started");
  }
  if (container.stopping() && !is(Status::stopping) && !is(Status::stopped)) {
    broken.push_back(name + " and is to end");
  }
}

void check_work(const Container& container, const queue::CallQueue& queue, Broken& broken) {
  const std::string& name = container.id.str();
  const Work& work = container.work;
  if (work.proxied > slots(container.spec->scaling)) {
    broken.push_back(name + " has " + std::to_string(work.proxied) +
                     " requests at its port, more than its slots");
  }
  if (container.spec->push && work.inputs.size() + work.proxied > slots(container.spec->scaling)) {
    broken.push_back(name + " has more inputs and passages than its slots");
  }
  if (container.in_background() && (!work.inputs.empty() || work.proxied > 0)) {
    broken.push_back(name + " is in the background, and works");
  }
  // The other way round it does not hold: the queue ends what is cancelled or stopped at once, and
  // its container hears of it later.
  for (const queue::LeasedInput& input : queue.leased_by(container.id)) {
    if (!work.inputs.contains(input.input)) {
      broken.push_back(name + " has the lease of " + input.input.str() + " and does not know it");
    }
  }
  for (const queue::LeasedInput& input : work.batch) {
    if (!work.inputs.contains(input.input)) {
      broken.push_back(name + " is to be told " + input.input.str() + ", which is not its own");
    }
  }
}

}  // namespace

std::vector<std::string> check_invariants(const Pools& pools, const queue::CallQueue& queue) {
  Broken broken;
  for (const auto& [target, pool] : pools.all()) {
    check_pool(pools, target, *pool, broken);
  }
  for (const auto& [id, container] : pools.containers()) {
    const PoolPtr pool = pools.find_pool(container->target);
    const bool is_in_its_pool = pool && pool->containers.contains(id);
    if (container->id != id) {
      broken.push_back(id.str() + " is " + container->id.str());
    }
    if (!container->in_background() && !is_in_its_pool) {
      broken.push_back(id.str() + " is not in the pool of its function");
    }
    check_status(*container, broken);
    check_work(*container, queue, broken);
  }
  return broken;
}

}  // namespace thaw::control
