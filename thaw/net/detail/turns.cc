// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/turns.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cmath>

namespace thaw::net::detail {

namespace {

constexpr double half_life_us = 100'000;
// A use that goes on at the full speed of the loop tends to this.
constexpr double full_us = half_life_us / 0.6931;
// The loop is busy; a connection has taken much of it; an account has.
constexpr double busy_us = 0.6 * full_us;
constexpr double greedy_connection_us = 0.04 * full_us;
constexpr double greedy_account_us = 0.4 * full_us;
constexpr Duration shared_for = 1s;
// Who has waited for a second counts as one that has used so much less: nobody waits for ever.
constexpr double waited_us_per_s = full_us;

double decayed(double used_us, Duration since) {
  const double passed_us = to_seconds(since) * 1e6;
  return passed_us <= 0 ? used_us : used_us * std::exp2(-passed_us / half_life_us);
}

}  // namespace

void TurnShare::spend(Duration used, Instant now) {
  used_us_ = this->used_us(now) + to_seconds(used) * 1e6;
  at_ = now;
}

double TurnShare::used_us(Instant now) const { return decayed(used_us_, now - at_); }

struct Turns::Line {
  struct Place {
    async::Event called;
    bool is_called = false;
  };

  explicit Line(async::Loop& l) : loop(l) {}

  async::Loop& loop;
  const Instant began = monotonic_now();
  // By what they had used when they came, plus when that was: those that have used least are first,
  // and who came long ago is before who comes now.
  std::multimap<double, Place*> waiting;
  bool posted = false;

  static void call_later(const std::shared_ptr<Line>& self) {
    if (!self->posted) {
      self->posted = true;
      boost::asio::post(self->loop.context(), [self] {
        self->posted = false;
        call_next(self);
      });
    }
  }
  static void call_next(const std::shared_ptr<Line>& self) {
    if (self->waiting.empty()) {
      return;
    }
    Place* place = self->waiting.begin()->second;
    self->waiting.erase(self->waiting.begin());
    place->is_called = true;
    place->called.notify_all();
    call_later(self);
  }
};

Turns::Turns(async::Loop& loop) : line_(std::make_shared<Line>(loop)) {}
Turns::~Turns() = default;

void Turns::spend(TurnShare& own, TurnShare& account, Duration used, Instant now) {
  own.spend(used, now);
  account.spend(used, now);
  all_.spend(used, now);
  if (last_account_ != &account) {
    last_account_ = &account;
    others_used_at_ = last_used_at_;
  }
  last_used_at_ = now;
}

bool Turns::is_shared(const TurnShare& account, Instant now) const {
  const Instant used_at = last_account_ == &account ? others_used_at_ : last_used_at_;
  return used_at > now - shared_for;
}

bool Turns::is_greedy(const TurnShare& own, const TurnShare& account, Instant now) const {
  if (all_.used_us(now) < busy_us) {
    return false;
  }
  return own.used_us(now) > greedy_connection_us ||
         (account.used_us(now) > greedy_account_us && is_shared(account, now));
}

async::Task<void> Turns::wait(const TurnShare& own, const TurnShare& account) {
  const Instant now = monotonic_now();
  const auto line = line_;
  Line::Place place;
  // Takes the place out of the line however the frame ends.
  struct Leave {
    Line& line;
    Line::Place& place;
    std::multimap<double, Line::Place*>::iterator at;
    ~Leave() {
      if (!place.is_called) {
        line.waiting.erase(at);
      }
    }
  };
  const Leave leave{*line, place,
                    line->waiting.emplace(own.used_us(now) + account.used_us(now) +
                                              to_seconds(now - line->began) * waited_us_per_s,
                                          &place)};
  Line::call_later(line);
  while (!place.is_called) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await place.called.wait(Instant::max()));
  }
  co_return ok();
}

}  // namespace thaw::net::detail
