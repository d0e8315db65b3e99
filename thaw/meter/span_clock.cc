// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/span_clock.h"

#include <algorithm>

#include "thaw/base/check.h"

namespace thaw::meter {

namespace {

constexpr std::int64_t million = 1'000'000;

std::int64_t micros(Duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

}  // namespace

void SpanClock::count_until(Instant now) {
  if (!has_begun_) {
    return;
  }
  const std::int64_t until = std::max(until_us_, micros(now - began_));
  const std::int64_t us = until - until_us_;
  until_us_ = until;
  const State state = open_ > 0 ? State::busy : state_;
  totals_.us[static_cast<std::size_t>(state)] += us;
  if (open_ > 0) {
    const std::int64_t rest = us % open_;
    const std::uint64_t fraction = had_fraction_ + (static_cast<std::uint64_t>(rest) << 32) /
                                                       static_cast<std::uint64_t>(open_);
    had_us_ += us / open_ + static_cast<std::int64_t>(fraction >> 32);
    had_fraction_ = static_cast<std::uint32_t>(fraction);
  }
  // In millionths of a byte-second, without a product that is too large.
  const bool is_frozen = state == State::frozen;
  std::int64_t& carry = is_frozen ? frozen_byte_us_ : byte_us_;
  std::int64_t& sum = is_frozen ? totals_.frozen_byte_seconds : totals_.byte_seconds;
  const std::int64_t small = bytes_ % million * (us % million) + carry;
  sum += bytes_ / million * us + bytes_ % million * (us / million) + small / million;
  carry = small % million;
}

void SpanClock::enter(State state, Instant now) {
  if (!has_begun_) {
    has_begun_ = true;
    began_ = now;
  }
  count_until(now);
  state_ = state;
}

void SpanClock::hold(std::uint64_t memory_bytes, Instant now) {
  count_until(now);
  bytes_ = static_cast<std::int64_t>(memory_bytes);
}

void SpanClock::used(std::int64_t cpu_us) { totals_.cpu_us = std::max(totals_.cpu_us, cpu_us); }

SpanClock::Mark SpanClock::begin(Instant now) {
  count_until(now);
  if (open_ == 0) {
    busy_before_ = totals_.of(State::busy);
    charged_ = 0;
    rest_ = 0;
  }
  ++open_;
  const bool is_first = !is_paid_;
  is_paid_ = true;
  return {had_us_, had_fraction_, now, is_first};
}

SpanClock::Charge SpanClock::look(const Mark& mark, Instant now) {
  count_until(now);
  const bool borrows = had_fraction_ < mark.fraction;
  Charge charge;
  charge.run_us = std::max<std::int64_t>(0, micros(now - mark.began));
  charge.share_us = had_us_ - mark.us - (borrows ? 1 : 0);
  charge.cold_us = mark.pays_start ? totals_.of(State::starting) : 0;
  return charge;
}

SpanClock::Charge SpanClock::end(const Mark& mark, Instant now, Pays pays) {
  THAW_CHECK(open_ > 0);
  Charge charge = look(mark, now);
  // Parts of microseconds that those before it had are somebody's, too.
  const std::uint64_t rest = std::uint64_t{rest_} + (had_fraction_ - mark.fraction);
  charge.share_us += static_cast<std::int64_t>(rest >> 32);
  rest_ = static_cast<std::uint32_t>(rest);
  --open_;
  if (open_ == 0) {
    charge.share_us = totals_.of(State::busy) - busy_before_ - charged_;
  }
  charged_ += charge.share_us;
  if (pays == Pays::yes) {
    totals_.shared_us += charge.share_us;
    totals_.charged_start_us += charge.cold_us;
  }
  return charge;
}

Totals SpanClock::totals(Instant now) {
  count_until(now);
  return totals_;
}

}  // namespace thaw::meter
