// SPDX-License-Identifier: Apache-2.0
// What containers do with the processors, for policy/: counters of the kernel are read while calls
// wait for a container, and only then; an idle server reads nothing.
#include <algorithm>

#include "thaw/base/log.h"
#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"
#include "thaw/worker/machine.h"

namespace thaw::control {

namespace {

// Each is a small file of the kernel's: 10 to 20 us. The rest has its turn at the next tick.
constexpr std::size_t readings_at_once = 96;
constexpr Duration seldom = 1s;
constexpr double much = 0.25;  // of a processor: a pool that others have to share with

bool works(const Container& container) {
  return container.reached_ready && !container.stopping() && !container.idle();
}

}  // namespace

void Fleet::note_machine(Instant now) {
  const auto processors = worker::machine_processors();
  if (!processors) {
    return;  // nothing is known then, and nothing held back
  }
  if (!machine_load_) {
    machine_load_.emplace(processors->count);
  }
  policy::MachineSample sample;
  sample.at = now;
  sample.busy = processors->busy;
  sample.containers = parts_.worker.processor_time();
  sample.runnable = processors->runnable;
  sample.queued = processors->queued;
  sample.pressed = processors->pressed;
  machine_load_->note(sample);
  machine_noted_ = now;
}

// The first reading of a busy time is the beginning of its first moment.
void Fleet::expect_load(Instant now) {
  if (now - machine_noted_ > seldom) {
    note_machine(now);
  }
}

policy::MachineView Fleet::machine_view(Instant now) const {
  return machine_load_ ? machine_load_->view(now) : policy::MachineView{};
}

void Fleet::note_load(Instant now) {
  const bool somebody_waits = std::any_of(pools_.begin(), pools_.end(), [](const auto& entry) {
    return entry.second->demanded != Instant{};
  });
  if (!somebody_waits) {
    busy_pools_.clear();
    return;
  }
  note_machine(now);
  const policy::MachineView machine = machine_view(now);
  std::vector<ContainerPtr> all;
  all.reserve(containers_.size());
  for (const auto& [id, container] : containers_) {
    if (!container->running || container->for_snapshot) {
      continue;
    }
    if (!container->reached_ready || works(*container)) {
      all.push_back(container);
    } else {
      policy::PoolLoad::lapse(container->load);
    }
  }
  // Who was read longest ago comes first.
  const std::size_t read = std::min(all.size(), readings_at_once);
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(read), all.end(),
                    [](const auto& a, const auto& b) { return a->load.at < b->load.at; });
  for (std::size_t i = 0; i < read; ++i) {
    Container& container = *all[i];
    policy::PoolLoad& load = pool_of(container.spec->id).load;
    const Duration used = container.running->sandbox().processor_time();
    if (!container.reached_ready) {
      load.note_start(container.load, container.moments.launching, now, used, machine);
    } else {
      load.note_work(container.load, now, used, machine);
    }
  }
  for (const auto& [function, pool] : pools_) {
    pool->load.count_calls(now);
  }
  busy_pools_.clear();
  for (const auto& [id, container] : containers_) {
    busy_pools_[container->spec->id] += container->load.got;
  }
  for (const auto& [function, pool] : pools_) {
    if (pool->demanded != Instant{}) {
      busy_pools_[function] += much;
    }
  }
  std::erase_if(busy_pools_, [](const auto& entry) { return entry.second < much; });
}

void Fleet::note_ready_load(Pool& pool, Container& container) {
  if (!container.running) {
    return;
  }
  const Instant now = container.moments.ready;
  const Duration used = container.running->sandbox().processor_time();
  pool.load.note_start(container.load, container.moments.launching, now, used, machine_view(now));
  pool.load.note_ready(container.load, now, used);
}

// Its start and its first call, which often does what a start did not.
void Fleet::note_first_answer(Pool& pool, Container& container) {
  if (container.running) {
    pool.load.note_price(container.running->sandbox().processor_time());
  }
}

policy::ProcessorView Fleet::processors_for(Pool& pool, const policy::PoolView& view) {
  if (view.waiting == 0) {
    pool.load.rest();
    return {};  // nothing is held back that a person asked for
  }
  pool.load.begin_sum();
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = find(id);
    if (container->stopping()) {
      continue;
    }
    if (container->reached_ready) {
      pool.load.add_running(container->load);
    } else {
      pool.load.add_starting(container->load);
    }
  }
  pool.load.weigh(view.running, view.now);
  const std::size_t rivals = busy_pools_.size() - busy_pools_.count(pool.function);
  return pool.load.view(view.now, machine_view(view.now), rivals);
}

}  // namespace thaw::control
