// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/turns.h"

#include <doctest/doctest.h>

#include <string>

#include "thaw/async/task_group.h"

using namespace thaw;
using namespace thaw::net::detail;

namespace {

async::Task<void> come_in(Turns& turns, const TurnShare& own, const TurnShare& account, char sign,
                          std::string& order) {
  THAW_CO_TRY_VOID(co_await turns.wait(own, account));
  order += sign;
  co_return ok();
}

}  // namespace

TEST_CASE("who has used least of the loop is called first") {
  async::Loop loop;
  async::TaskGroup tasks(loop);
  Turns turns(loop);
  const Instant now = monotonic_now();
  TurnShare greedy;
  TurnShare modest;
  TurnShare account;
  TurnShare other;
  turns.spend(greedy, account, 50ms, now);
  turns.spend(modest, other, 1ms, now);
  std::string order;
  tasks.start("greedy", come_in(turns, greedy, account, 'g', order));
  tasks.start("modest", come_in(turns, modest, other, 'm', order));
  CHECK(order == "");
  (void)loop.run_task(tasks.join(monotonic_now() + 20s));
  CHECK(order == "mg");
}

TEST_CASE("who has used much is called in the end though others that used less come all the time") {
  async::Loop loop;
  async::TaskGroup tasks(loop);
  Turns turns(loop);
  TurnShare greedy;
  TurnShare modest;
  TurnShare account;
  TurnShare other;
  turns.spend(greedy, account, 100ms, monotonic_now());
  std::string order;
  bool others_come = true;
  const auto come_again = [](Turns& t, const TurnShare& own, const TurnShare& of,
                             const bool& goes_on) -> async::Task<void> {
    while (goes_on) {
      THAW_CO_TRY_VOID(co_await t.wait(own, of));
    }
    co_return ok();
  };
  tasks.start("greedy", come_in(turns, greedy, account, 'g', order));
  for (int i = 0; i < 3; ++i) {
    tasks.start("others", come_again(turns, modest, other, others_come));
  }
  const Instant end = monotonic_now() + 20s;
  while (order.empty() && monotonic_now() < end) {
    (void)loop.run_task(async::sleep_for(10ms));
  }
  others_come = false;
  CHECK(order == "g");
  (void)loop.run_task(tasks.join(monotonic_now() + 20s));
}

TEST_CASE("an account that has the loop for itself is not greedy, whoever had it before") {
  async::Loop loop;
  Turns turns(loop);
  TurnShare earlier;
  TurnShare before;
  TurnShare own;
  TurnShare account;
  const Instant now = monotonic_now();
  turns.spend(earlier, before, 100ms, now);
  turns.spend(own, account, 200ms, now + 2s);
  const TurnShare fresh;
  CHECK_FALSE(turns.is_greedy(fresh, account, now + 2s));
  turns.spend(earlier, before, 1ms, now + 2s);
  CHECK(turns.is_greedy(fresh, account, now + 2s));
}

TEST_CASE("one that is cancelled while it waits is not called") {
  async::Loop loop;
  async::TaskGroup tasks(loop);
  Turns turns(loop);
  TurnShare own;
  std::string order;
  tasks.start("first", come_in(turns, own, own, '1', order));
  tasks.start("second", come_in(turns, own, own, '2', order));
  auto third = tasks.start("third", come_in(turns, own, own, '3', order));
  third.cancel();
  (void)loop.run_task(tasks.join(monotonic_now() + 20s));
  CHECK(order == "12");
}

TEST_CASE("nobody is greedy while the loop has time, and then those are who took it") {
  async::Loop loop;
  Turns turns(loop);
  TurnShare flood;
  TurnShare bystander;
  TurnShare account;
  TurnShare other;
  const Instant now = monotonic_now();
  turns.spend(flood, account, 30ms, now);
  CHECK_FALSE(turns.is_greedy(flood, account, now));
  turns.spend(flood, account, 100ms, now);
  turns.spend(bystander, other, 100us, now);
  CHECK(turns.is_greedy(flood, account, now));
  CHECK_FALSE(turns.is_greedy(bystander, other, now));
  // A fresh connection of the greedy account does not make it a stranger.
  TurnShare fresh;
  CHECK(turns.is_greedy(fresh, account, now));
  CHECK_FALSE(turns.is_greedy(flood, account, now + 1s));
}
