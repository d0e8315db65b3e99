// SPDX-License-Identifier: Apache-2.0
//
// Metering: tells the meter what becomes of containers and of what they do, in the meter's words,
// and writes down what it has counted: lines and ends within a second or so, all spans every ten.
// On the way of a call it only counts; without a ledger it does nothing at all. Pools tells it of
// containers, Inputs, Ports and Limits of their work. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/control/container.h"
#include "thaw/meter/meter.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

struct MeteringParts {
  queue::CallQueue& queue;
  meter::Ledger* ledger;         // null: nothing is metered
  std::function<void()> sample;  // all that live: calls sample() for each
};

class Metering {
 public:
  explicit Metering(MeteringParts parts) : parts_(std::move(parts)) {}

  bool is_on() const { return parts_.ledger != nullptr; }

  // --- containers ---
  void came(const Container& container, meter::Cause cause);
  // Its life has begun, or its status or work is another.
  void changed(const Container& container, Instant now);
  // Reads the kernel's counters of it.
  void sample(const Container& container, Instant now);
  void ended(const Container& container, Instant now);
  // Nothing of it is left: had it not begun to live, there was nothing to count.
  void gone(const Container& container) { meter_.forget_unbegun(container.id); }

  // --- its work: numbers of lines, 0 without a ledger ---
  std::uint64_t begin(const Container& container, const queue::LeasedInput& input,
                      model::Level level);
  std::uint64_t begin(const Container& container, const model::TokenId& token, model::Level level,
                      Duration queued);
  // What the queue is to write down with the outcome of a durable call.
  void owe(const Container& container, const model::InputId& input, const model::Outcome& outcome);
  void end(const Container& container, std::uint64_t line, const meter::LineEnd& end);

  static async::Task<void> loop(Metering& self);
  // What is left, at the end.
  async::Task<void> write_all();

  const meter::MeterCounters& counters() const { return meter_.counters(); }

 private:
  async::Task<void> write(meter::Meter::Which which);

  MeteringParts parts_;
  meter::Meter meter_;
  std::uint64_t exchanges_ = 0;
  Instant looked_ = monotonic_now();
};

}  // namespace thaw::control
