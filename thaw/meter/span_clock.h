// SPDX-License-Identifier: Apache-2.0
//
// SpanClock: counts what one container costs, and what of it each of its lines is charged. While k
// lines are open, each has dt/k of the time: exact in whole microseconds, so that the shares of all
// lines are the busy time, to the last one. An event costs the same however many lines are open.
// Pure: the time is given from outside, and never goes back.
#pragma once

#include <cstdint>

#include "thaw/base/time.h"
#include "thaw/meter/records.h"

namespace thaw::meter {

class SpanClock {
 public:
  // It holds so much memory, until hold() says something else.
  explicit SpanClock(std::uint64_t memory_bytes)
      : bytes_(static_cast<std::int64_t>(memory_bytes)) {}

  // What the container is while it has no line; with one it is busy. The first one begins its life.
  void enter(State state, Instant now);
  void hold(std::uint64_t memory_bytes, Instant now);
  // Processor time since its beginning; what is less than before is an error of who measures.
  void used(std::int64_t cpu_us);

  // One more line. Where its share begins: of no meaning to anybody else.
  struct Mark {
    std::int64_t us = 0;
    std::uint32_t fraction = 0;
    Instant began{};
    bool pays_start = false;  // it is the first one
  };
  Mark begin(Instant now);
  struct Charge {
    std::int64_t run_us = 0;
    std::int64_t share_us = 0;
    std::int64_t cold_us = 0;
  };
  // The line of this mark has ended. `pays`: the span's totals say that it is charged; what nobody
  // is charged stays with the span.
  enum class Pays : std::uint8_t { yes, no };
  Charge end(const Mark& mark, Instant now, Pays pays);
  // What it would be charged if it ended now.
  Charge look(const Mark& mark, Instant now);

  bool has_begun() const { return has_begun_; }
  std::int64_t open_lines() const { return open_; }
  std::uint64_t memory_bytes() const { return static_cast<std::uint64_t>(bytes_); }
  Totals totals(Instant now);

 private:
  void count_until(Instant now);
  void add_memory(std::int64_t us);

  Totals totals_;
  State state_ = State::starting;
  bool has_begun_ = false;
  Instant began_{};
  std::int64_t until_us_ = 0;  // since it began
  std::int64_t bytes_;
  std::int64_t byte_us_ = 0;  // what is no whole byte-second yet, in millionths
  std::int64_t frozen_byte_us_ = 0;

  std::int64_t open_ = 0;
  bool is_paid_ = false;  // its start
  // What a line has had that was open all the time: whole microseconds, and parts of 2^32.
  std::int64_t had_us_ = 0;
  std::uint32_t had_fraction_ = 0;
  std::int64_t busy_before_ = 0;  // when the first of the open lines began
  std::int64_t charged_ = 0;      // since then
  std::uint32_t rest_ = 0;        // of what was charged since then, less than a microsecond
};

}  // namespace thaw::meter
