// SPDX-License-Identifier: Apache-2.0
//
// CallbackLoop: tells receivers what callbacks want told. It looks at lanes (a workspace's rows for
// one receiver) when something of them becomes due, takes as many rows as may be under way, and one
// task tells the next entry of each. Each callback is told in the order of its log, at least once.
// A receiver that fails again and again rests: one try at a time, ever more seldom, whatever waits
// for it. Nothing is held of rows that wait: one task sleeps until the first lane is to be looked
// at. It holds no container and no lease. Loop thread only.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/pool.h"
#include "thaw/async/task_group.h"
#include "thaw/gateway/callback_dialect.h"
#include "thaw/gateway/callback_sender.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

struct CallbackShares {
  std::size_t at_once = 256;  // tries under way
  std::size_t per_workspace = 16;
  std::size_t per_receiver = 8;
  std::size_t per_lane = 4;
};

struct CallbackLoopParts {
  async::Loop& loop;
  queue::CallQueue& queue;
  CallbackSender& sender;
  async::Pool& pool;
  std::function<CallbackDialect*(const std::string& name)> dialect;  // null: there is none
  std::function<double()> random;                                    // from 0 to 1
};

class CallbackLoop {
 public:
  explicit CallbackLoop(CallbackLoopParts parts, CallbackShares shares = {});

  void start();
  async::Task<void> stop();

  struct Counters {
    std::uint64_t delivered = 0;  // entries
    std::uint64_t failed = 0;     // tries
    std::uint64_t given_up = 0;   // callbacks
    std::size_t under_way = 0;
    std::size_t lanes = 0;
  };
  Counters counters() const;

 private:
  struct Lane {
    queue::CallbackLane key;
    std::set<std::int64_t> under_way;  // rows
    int failures = 0;                  // in a row, of whatever was tried
    Instant rests_until{};
    bool is_awaited = false;  // `place` is valid
    std::multimap<Instant, Lane*>::iterator place;
    bool is_held_up = false;  // there is no room for its next try now
  };

  Lane& lane_of(const queue::CallbackLane& key);
  // To be looked at then, or before.
  void look_at(Lane& lane, Instant when);
  void hold_up(Lane& lane);
  void admit_held_up();
  void forget(Lane& lane);
  std::size_t room_for(const Lane& lane) const;
  static async::Task<void> run(CallbackLoop& self);
  static async::Task<void> look(CallbackLoop& self, queue::CallbackLane key);
  static async::Task<void> tell(CallbackLoop& self, queue::DueCallback callback);
  // The rest of what is told, where that is little enough to be told; else turn.left_out says how
  // much there is.
  static async::Task<void> bring_rest(CallbackLoop& self, queue::CallbackTurn& turn);
  static async::Task<CallbackAnswer> send(CallbackLoop& self, queue::DueCallback callback,
                                          std::uint64_t number, RenderedCallback rendered);
  static async::Task<void> tell_next(CallbackLoop& self, queue::DueCallback callback);
  static async::Task<void> not_taken(CallbackLoop& self, queue::DueCallback callback,
                                     CallbackAnswer answer);
  void begin(Lane& lane, queue::DueCallback callback);
  void ended(const queue::DueCallback& callback);

  CallbackLoopParts parts_;
  CallbackShares shares_;
  std::map<queue::CallbackLane, std::unique_ptr<Lane>> lanes_;
  std::multimap<Instant, Lane*> awaited_;
  std::map<std::string, std::list<Lane*>> held_up_;  // by workspace
  std::string last_admitted_;                        // whose turn it was
  std::map<std::string, std::size_t> of_workspace_;  // under way
  std::map<std::string, std::size_t> of_receiver_;
  std::size_t under_way_ = 0;
  Counters counters_;
  async::Event changed_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::gateway
