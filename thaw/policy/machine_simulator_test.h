// SPDX-License-Identifier: Apache-2.0
//
// A machine in virtual time, for tables of what plan_scale does with it: processors that everything
// that can run shares evenly, containers whose starts and calls are processor time and waiting, a
// caller and a server that spend processor time on each call, and a Fleet that reads the counters
// as the real one does. Deterministic.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "thaw/policy/pool_load.h"

namespace thaw::policy::testing {

struct Workload {
  std::size_t inputs = 0;
  double start_cpu = 0.014;  // seconds, as all below
  double start_wait = 0.012;
  double first_cpu = 0;  // more, in a container's first call
  double call_cpu = 0.0023;
  double call_wait = 0;
  double beside = 0.0022;  // of the caller and the server, for each call
  double beside_start = 0.02;
  // Of an image that is new: what a start costs until a template has been made, and what that does.
  double boot_cpu = 0;
  double template_cpu = 0;
  std::size_t max_containers = 0;
};

struct PoolResult {
  double seconds = 0;  // until the last call ended
  std::size_t containers = 0;
  double first_answer = 0;
  std::size_t most_starting = 0;
};

class Machine {
 public:
  explicit Machine(double cores, std::size_t noise = 0)
      : cores_(cores), noise_(noise), load_(cores) {}

  // What arrives at a moment; the answer is a name for it.
  std::size_t add(Workload work, double at = 0);
  // Until all has ended, or `limit` seconds have passed.
  void run(double limit);
  const PoolResult& result(std::size_t pool) const { return pools_[pool].result; }

 private:
  struct SimContainer {
    enum class Phase { begin, start_cpu, start_wait, cpu, wait, answer, idle } phase = Phase::begin;
    double left = 0;  // of the phase
    double used = 0;  // its cgroup's counter
    double began = 0;
    double call_began = 0;
    std::size_t served = 0;
    ContainerLoad load;
    bool ready() const { return phase > Phase::start_wait; }
    bool computes() const { return phase == Phase::start_cpu || phase == Phase::cpu; }
    bool stands_in_line() const { return phase == Phase::begin || phase == Phase::answer; }
  };
  struct SimPool {
    Workload work;
    double at = 0;
    std::size_t waiting = 0;
    std::size_t ended = 0;
    bool has_arrived = false;
    std::deque<SimContainer> containers;
    PoolLoad load;
    double demanded = -1;
    Duration call_time{};
    Duration start_time{};
    double template_left = 0;  // processor time until it is there
    double hastened = -1;      // since when it is being made
    PoolResult result;
    bool makes_template() const { return hastened >= 0 && template_left > 0; }
    bool done() const { return has_arrived && ended == work.inputs; }
  };

  using Line = std::deque<std::pair<SimPool*, SimContainer*>>;

  void step();
  void serve(Line& line, double work);
  void take(SimPool& pool, SimContainer& container);
  void end_phase(SimPool& pool, SimContainer& container);
  void sample();
  void evaluate(SimPool& pool);
  static Duration span(double seconds) {
    return Duration(static_cast<std::int64_t>(seconds * 1e9));
  }
  Instant now() const { return Instant(std::chrono::hours(1)) + span(time_); }

  static constexpr double dt = 0.0005;
  double cores_;
  std::size_t noise_;
  MachineLoad load_;
  std::deque<SimPool> pools_;
  double time_ = 0;
  double next_tick_ = 0;
  Line answers_;
  Line begins_;
  double busy_ = 0;
  double contained_ = 0;
  double pressed_ = 0;
  double runnable_ = 0;
};

inline std::size_t Machine::add(Workload work, double at) {
  SimPool pool;
  pool.work = work;
  pool.at = at;
  pool.template_left = work.template_cpu;
  pools_.push_back(std::move(pool));
  return pools_.size() - 1;
}

inline void Machine::run(double limit) {
  while (time_ < limit) {
    bool all = true;
    for (const SimPool& pool : pools_) {
      all = all && pool.done();
    }
    if (all) {
      return;
    }
    step();
  }
}

inline void Machine::take(SimPool& pool, SimContainer& container) {
  if (pool.waiting == 0) {
    container.phase = SimContainer::Phase::idle;
    return;
  }
  --pool.waiting;
  container.call_began = time_;
  container.phase = SimContainer::Phase::cpu;
  container.left = pool.work.call_cpu + (container.served == 0 ? pool.work.first_cpu : 0);
}

inline void Machine::end_phase(SimPool& pool, SimContainer& c) {
  using Phase = SimContainer::Phase;
  switch (c.phase) {
    case Phase::begin:
      c.phase = Phase::start_cpu;
      c.left = pool.template_left > 0 ? pool.work.boot_cpu : pool.work.start_cpu;
      return;
    case Phase::start_cpu:
      c.phase = Phase::start_wait;
      c.left = pool.work.start_wait;
      if (c.left > 0) {
        return;
      }
      [[fallthrough]];
    case Phase::start_wait: {
      const Duration took = span(time_ - c.began);
      pool.start_time =
          pool.start_time == Duration::zero() ? took : (pool.start_time * 7 + took) / 8;
      pool.load.note_start(c.load, Instant(std::chrono::hours(1)) + span(c.began), now(),
                           span(c.used), load_.view(now()));
      pool.load.note_ready(c.load, now(), span(c.used));
      take(pool, c);
      evaluate(pool);
      return;
    }
    case Phase::cpu:
      c.phase = Phase::wait;
      c.left = pool.work.call_wait;
      if (c.left > 0) {
        return;
      }
      [[fallthrough]];
    case Phase::wait:
      c.phase = Phase::answer;
      c.left = pool.work.beside;
      answers_.push_back({&pool, &c});
      return;
    case Phase::answer: {
      const Duration took = span(time_ - c.call_began);
      pool.call_time = pool.call_time == Duration::zero() ? took : (pool.call_time * 7 + took) / 8;
      ++pool.ended;
      ++c.served;
      if (c.served == 1) {
        pool.load.note_price(span(c.used));
      }
      pool.load.note_end();
      pool.result.seconds = time_ - pool.at;
      if (pool.result.first_answer == 0) {
        pool.result.first_answer = time_ - pool.at;
      }
      take(pool, c);
      evaluate(pool);
      return;
    }
    case Phase::idle: return;
  }
}

inline void Machine::serve(Line& line, double work) {
  while (work > 0 && !line.empty()) {
    const auto [pool, container] = line.front();
    const double part = std::min(work, container->left);
    container->left -= part;
    work -= part;
    if (container->left <= 1e-12) {
      line.pop_front();
      end_phase(*pool, *container);
    }
  }
}

inline void Machine::step() {
  using Phase = SimContainer::Phase;
  time_ += dt;
  for (SimPool& pool : pools_) {
    if (!pool.has_arrived && time_ >= pool.at) {
      pool.has_arrived = true;
      pool.waiting = pool.work.inputs;
      evaluate(pool);
    }
  }
  // Calls have a thread of the caller and one of the server, starts one of who makes containers.
  const double answering = std::min<double>(2, static_cast<double>(answers_.size()));
  const double beginning = begins_.empty() ? 0 : 1;
  double threads = static_cast<double>(noise_) + answering + beginning;
  for (const SimPool& pool : pools_) {
    threads += pool.makes_template() ? 1 : 0;
    for (const SimContainer& c : pool.containers) {
      threads += c.computes() ? 1 : 0;
    }
  }
  // Who shares a processor with many pays for it, as was measured: a third more work at eight.
  const double crowd = std::max(0.0, threads - cores_);
  const double each = std::min(1.0, cores_ / std::max(threads, 1.0));
  const double worth = 1 / (1 + 0.05 * std::min(crowd, 20.0));
  runnable_ = threads;
  pressed_ += threads > cores_ ? dt : 0;
  busy_ += std::min(threads, cores_) * dt;
  serve(answers_, answering * each * worth * dt);
  serve(begins_, beginning * each * worth * dt);
  for (SimPool& pool : pools_) {
    if (pool.makes_template()) {
      pool.template_left -= each * worth * dt;
      contained_ += each * dt;
    }
    for (std::size_t i = 0; i < pool.containers.size(); ++i) {
      SimContainer& c = pool.containers[i];
      const bool computes = c.computes();
      if (c.stands_in_line()) {
        continue;
      }
      const double part = computes ? each * worth * dt : dt;
      if (computes) {
        c.used += each * dt;
        contained_ += each * dt;
      }
      if (c.phase == Phase::idle) {
        take(pool, c);
        continue;
      }
      c.left -= part;
      while (c.left <= 0 && c.phase != Phase::idle && !c.stands_in_line()) {
        const double over = c.left;
        end_phase(pool, c);
        c.left += over;
      }
    }
  }
  if (time_ >= next_tick_) {
    next_tick_ = time_ + 0.1;
    sample();
  }
}

// The Fleet's tick.
inline void Machine::sample() {
  MachineSample sample;
  sample.at = now();
  sample.busy = span(busy_);
  sample.containers = span(contained_);
  sample.runnable = runnable_;
  sample.pressed = span(pressed_);
  load_.note(sample);
  for (SimPool& pool : pools_) {
    pool.load.count_calls(now());
    for (SimContainer& c : pool.containers) {
      if (!c.ready()) {
        pool.load.note_start(c.load, Instant(std::chrono::hours(1)) + span(c.began), now(),
                             span(c.used), load_.view(now()));
      } else if (c.phase == SimContainer::Phase::idle) {
        PoolLoad::lapse(c.load);
      } else {
        pool.load.note_work(c.load, now(), span(c.used), load_.view(now()));
      }
    }
  }
  for (SimPool& pool : pools_) {
    evaluate(pool);
  }
}

inline void Machine::evaluate(SimPool& pool) {
  PoolView view;
  view.now = now();
  view.waiting = pool.waiting;
  pool.demanded = pool.waiting == 0 ? -1 : (pool.demanded < 0 ? time_ : pool.demanded);
  view.waited = pool.waiting == 0 ? Duration::zero() : span(time_ - pool.demanded);
  view.call_time = pool.call_time;
  view.start_time = pool.start_time;
  pool.load.begin_sum();
  std::size_t all_starting = 0;
  std::size_t rivals = 0;
  for (SimPool& other : pools_) {
    double used = 0;
    for (SimContainer& c : other.containers) {
      all_starting += c.ready() ? 0 : 1;
      used += c.load.got;
    }
    rivals += &other != &pool && (other.waiting > 0 || used > 0.25) ? 1 : 0;
  }
  for (SimContainer& c : pool.containers) {
    if (c.ready()) {
      ++view.running;
      pool.load.add_running(c.load);
      view.free_slots += c.phase == SimContainer::Phase::idle ? 1 : 0;
    } else {
      ++view.starting;
      pool.load.add_starting(c.load);
    }
  }
  view.capacity = all_starting >= 8 ? 0 : 8 - all_starting;
  pool.load.weigh(view.running, now());
  if (view.waiting == 0) {
    pool.load.rest();
  }
  view.processor = pool.load.view(now(), load_.view(now()), rivals);
  if (pool.template_left > 0 && view.waiting > view.free_slots &&
      view.running + view.starting > 0) {
    pool.hastened = pool.hastened < 0 ? time_ : pool.hastened;
    view.better_soon = time_ - pool.hastened < 5;
  }
  model::Scaling scaling;
  scaling.max_containers = static_cast<int>(pool.work.max_containers);
  if (pool.work.max_containers > 0) {
    view.processor = {};  // what a person found by trying
  }
  const ScalePlan plan = plan_scale(scaling, view);
  for (std::size_t i = 0; i < plan.start; ++i) {
    SimContainer fresh;
    fresh.began = time_;
    fresh.left = pool.work.beside_start;
    pool.containers.push_back(fresh);
    begins_.push_back({&pool, &pool.containers.back()});
  }
  pool.result.containers = pool.containers.size();
  pool.result.most_starting = std::max(pool.result.most_starting, view.starting + plan.start);
}

}  // namespace thaw::policy::testing
