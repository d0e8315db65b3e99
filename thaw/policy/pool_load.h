// SPDX-License-Identifier: Apache-2.0
//
// What the containers of one pool do with the processors, learnt from the counters of their cgroups
// while calls wait for them: what they use while they start, in their first moments of work, and
// afterwards; and how many calls end in a second. A plain value; pure.
#pragma once

#include "thaw/policy/machine_load.h"
#include "thaw/policy/processor_use.h"
#include "thaw/policy/scale.h"

namespace thaw::policy {

// Of one container.
struct ContainerLoad {
  Instant at{};  // when its counter was last read …
  Instant ready{};
  Duration used{};              // … and what it said
  double got = 0;               // processors that it had lately
  std::optional<double> alone;  // that it would use alone; nullopt: it works too shortly to say
};

class PoolLoad {
 public:
  // The counter of a container that starts, or that has just become ready.
  void note_start(ContainerLoad& container, Instant began, Instant now, Duration used,
                  const MachineView& machine);
  // It is ready: what it does from here on is work.
  void note_ready(ContainerLoad& container, Instant now, Duration used);
  // The counter of one that has worked since its last reading.
  void note_work(ContainerLoad& container, Instant now, Duration used, const MachineView& machine);
  // It has nothing to do: its next reading only says where the one after that begins.
  static void lapse(ContainerLoad& container);

  void note_end() { ++ended_; }    // of a call
  void note_price(Duration used);  // of a start up to its first answer
  // What so many working containers bring, once enough calls have ended to say so.
  void weigh(std::size_t running, Instant now);
  // Nothing waits any more: what was of no use may be of use another time.
  void rest();
  void count_calls(Instant now);           // now and then
  double calls() const { return calls_; }  // that end in a second

  // `used`, `demand` and `unseen` are summed over the containers by add().
  void begin_sum() { sum_ = {}; }
  void add_starting(const ContainerLoad& container) { sum_.used += container.got; }
  void add_running(const ContainerLoad& container);
  double used() const { return sum_.used; }
  ProcessorView view(Instant now, const MachineView& machine, std::size_t rivals) const;

 private:
  struct Sum {
    double used = 0;
    double demand = 0;
    std::size_t unseen = 0;
  };
  ProcessorUse starting_;
  ProcessorUse fresh_;
  Duration price_{};
  Instant progress_{};
  std::uint64_t ended_ = 0;
  std::uint64_t counted_ = 0;
  Instant counted_at_{};
  double calls_ = 0;
  Sum sum_;
  // What so many containers brought, the last time that more of them brought more.
  double weighed_ = 0;
  double throughput_ = 0;
  // Calls are counted from here on; not those of the first moments of a container.
  bool is_window_ = false;
  Instant window_at_{};
  std::uint64_t window_ended_ = 0;
  bool is_settled_ = false;
  Instant useless_since_{};
};

}  // namespace thaw::policy
