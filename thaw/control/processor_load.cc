// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/processor_load.h"

#include <algorithm>
#include <vector>

namespace thaw::control {

namespace {

// Each is a small file of the kernel's: 10 to 20 us. The rest has its turn at the next tick.
constexpr std::size_t readings_at_once = 96;
constexpr Duration seldom = 1s;
constexpr Duration between_survivals = 3s;  // a program of many GB takes seconds to end
constexpr double much = 0.25;               // of a processor: a pool that others have to share with

bool works(const Container& container) {
  return container.start.reached_ready && !container.stopping() && !container.idle();
}

}  // namespace

void ProcessorLoad::note_machine(Instant now) {
  const auto processors = worker_.processors();
  if (!processors) {
    return;  // nothing is known then, and nothing held back
  }
  if (!machine_load_) {
    machine_load_.emplace(processors->count);
  }
  policy::MachineSample sample;
  sample.at = now;
  sample.busy = processors->busy;
  sample.containers = worker_.processor_time();
  sample.runnable = processors->runnable;
  sample.queued = processors->queued;
  sample.pressed = processors->pressed;
  machine_load_->note(sample);
  machine_noted_ = now;
}

void ProcessorLoad::expect(Instant now) {
  if (now - machine_noted_ > seldom) {
    note_machine(now);
  }
}

policy::MachineView ProcessorLoad::machine_view(Instant now) const {
  return machine_load_ ? machine_load_->view(now) : policy::MachineView{};
}

void ProcessorLoad::note(Instant now) {
  const bool somebody_waits =
      std::any_of(pools_.all().begin(), pools_.all().end(),
                  [](const auto& entry) { return entry.second->demanded != Instant{}; });
  if (!somebody_waits) {
    busy_pools_.clear();
    return;
  }
  note_machine(now);
  const policy::MachineView machine = machine_view(now);
  std::vector<ContainerPtr> all;
  all.reserve(pools_.containers().size());
  for (const auto& [id, container] : pools_.containers()) {
    if (!container->running || container->in_background()) {
      continue;
    }
    if (!container->start.reached_ready || works(*container)) {
      all.push_back(container);
    } else {
      policy::PoolLoad::lapse(container->measured.load);
    }
  }
  // Who was read longest ago comes first.
  const std::size_t read = std::min(all.size(), readings_at_once);
  std::partial_sort(
      all.begin(), all.begin() + static_cast<std::ptrdiff_t>(read), all.end(),
      [](const auto& a, const auto& b) { return a->measured.load.at < b->measured.load.at; });
  for (std::size_t i = 0; i < read; ++i) {
    Container& container = *all[i];
    policy::PoolLoad& load = pools_.of(container.target).load;
    const Duration used = container.running->processor_time();
    if (!container.start.reached_ready) {
      load.note_start(container.measured.load, container.start.moments.launching, now, used,
                      machine);
    } else {
      load.note_work(container.measured.load, now, used, machine);
    }
  }
  for (const auto& [target, pool] : pools_.all()) {
    pool->load.count_calls(now);
  }
  busy_pools_.clear();
  for (const auto& [id, container] : pools_.containers()) {
    busy_pools_[container->target] += container->measured.load.got;
  }
  for (const auto& [target, pool] : pools_.all()) {
    if (pool->demanded != Instant{}) {
      busy_pools_[target] += much;
    }
  }
  std::erase_if(busy_pools_, [](const auto& entry) { return entry.second < much; });
}

void ProcessorLoad::note_survivals(Instant now) {
  std::size_t left = readings_at_once;
  for (const auto& [id, container] : pools_.containers()) {
    const bool is_due = now - container->measured.survival_noted >= between_survivals;
    if (left > 0 && is_due && container->running && !container->work.inputs.empty()) {
      container->measured.survival_noted = now;
      container->running->note_survival();
      --left;
    }
  }
}

void ProcessorLoad::note_ready(Pool& pool, Container& container) {
  if (!container.running) {
    return;
  }
  const Instant now = container.start.moments.ready;
  const Duration used = container.running->processor_time();
  pool.load.note_start(container.measured.load, container.start.moments.launching, now, used,
                       machine_view(now));
  pool.load.note_ready(container.measured.load, now, used);
}

void ProcessorLoad::note_joined(Pool& pool, Container& container) {
  if (container.running) {
    pool.load.note_ready(container.measured.load, monotonic_now(),
                         container.running->processor_time());
  }
}

void ProcessorLoad::note_first_answer(Pool& pool, Container& container) {
  if (container.running) {
    pool.load.note_price(container.running->processor_time());
  }
}

policy::ProcessorView ProcessorLoad::view_for(Pool& pool, const policy::PoolView& view) {
  if (view.waiting == 0) {
    pool.load.rest();
    return {};  // nothing is held back that a person asked for
  }
  pool.load.begin_sum();
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = pools_.find(id);
    if (container->stopping()) {
      continue;
    }
    if (container->start.reached_ready) {
      pool.load.add_running(container->measured.load);
    } else {
      pool.load.add_starting(container->measured.load);
    }
  }
  pool.load.weigh(view.running, view.now);
  const std::size_t rivals = busy_pools_.size() - busy_pools_.count(pool.target);
  return pool.load.view(view.now, machine_view(view.now), rivals);
}

}  // namespace thaw::control
