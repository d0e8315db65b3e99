// SPDX-License-Identifier: Apache-2.0
//
// The queue's state in memory. An input is owned by its call and is in exactly one list of its
// target's line (`ready` in the order of delivery, or `held`), and, while a container has it, in
// that container's list; it knows its places, so every move is O(1). What is bounded for a function
// is counted over all of its lines. Loop thread.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/model/call.h"
#include "thaw/queue/detail/call_index.h"
#include "thaw/queue/detail/shares.h"

namespace thaw::queue::detail {

struct Call;
struct Function;
struct Line;

// The oldest first, as ListKey has it.
struct ByAge {
  using is_transparent = void;
  bool operator()(const Call* a, const Call* b) const;
  bool operator()(const Call* a, const ListKey& b) const;
  bool operator()(const ListKey& a, const Call* b) const;
};
using CallsByAge = std::set<Call*, ByAge>;

struct Workspace {
  Share share;
};

// Who wants to write what an input says, the first to go at the front.
struct Turns {
  std::list<int> order;
  async::Event changed;
};

struct Input {
  enum class State {
    storing,  // on its way to the disk, nobody may know it yet
    ready,
    leased,
    ending,   // its outcome is on its way to the disk
    delayed,  // waits for its next try
    ended,
  };
  model::InputId id;
  Call* call = nullptr;
  int index = 0;
  model::Payload payload;
  State state = State::storing;
  int attempts = 0;
  int retries = 0;
  int forgiven = 0;  // deliveries that ended with an earlier server: whose fault is not known
  WallTime enqueued_at{};
  WallTime ready_since{};
  model::ContainerId container;  // while leased or ending
  std::string version;           // that the container runs which had it last; empty: none had
  bool orphaned = false;         // its container died while it was ending
  OwedLine owed;                 // of the delivery that it has; empty: nothing
  std::unique_ptr<Turns> turns;  // while somebody waits for a blob
  std::list<Input*>::iterator place;
  std::list<Input*>::iterator lease_place;
  std::multimap<Instant, Input*>::iterator due;
};

struct Function {
  model::FunctionId id;
  // Of its calls; null: it has had none, or calls of several.
  const Workspace* workspace = nullptr;
  bool is_shared = false;  // by several workspaces
  Share share;
  CallsByAge calls;
  std::size_t ready = 0;  // in all of its lines
  std::size_t storing = 0;
  std::map<std::string, Line*> lines;  // by version

  bool unused() const { return share.calls == 0 && storing == 0 && lines.empty(); }
};

// The inputs of one target.
struct Line {
  model::Target target;
  Function* function = nullptr;
  std::size_t calls = 0;
  std::size_t unfinished = 0;  // inputs
  std::list<Input*> ready;
  std::list<Input*> held;  // leased, ending, delayed
  std::size_t leased = 0;
  async::Event became_ready;
  bool reported = false;  // in the list of those that control is to hear of

  bool unused() const {
    return calls == 0 && ready.empty() && held.empty() && leased == 0 && !reported &&
           !became_ready.has_waiters();
  }
};

struct Call {
  model::NewCall call;
  Function* function = nullptr;
  Line* line = nullptr;  // of that function
  Workspace* workspace = nullptr;
  WallTime created_at{};
  CallsByAge::iterator by_age;
  bool is_stored = false;           // durable only: others may know it
  std::int64_t callback_wants = 0;  // of all its callbacks; 0: it has none
  WallTime started_at{};            // zero: not yet
  WallTime finished_at{};           // of the input that ended last
  bool cancelled = false;
  bool forgotten = false;
  bool repeats = true;  // an input that did not end well may be delivered again
  int unfinished = 0;
  int pins = 0;                      // tasks that hold it across a wait
  Instant expires = Instant::max();  // nothing of it is delivered from then on
  Instant end_by = Instant::max();
  bool is_watched = false;  // its place among those that will expire is valid
  std::multimap<Instant, Call*>::iterator expiry;
  std::unordered_map<int, std::unique_ptr<Input>> inputs;
  // The end of the log. What came before is on disk (durable calls only).
  std::deque<model::LogEntry> log;
  std::uint64_t last_number = 0;
  std::size_t log_bytes = 0;
  std::uint64_t taken = 0;         // the reader has the entries up to here
  std::size_t unread_bytes = 0;    // of chunks after them; of a durable call: of all its chunks
  std::size_t replay_bytes = 0;    // of pieces up to there that are in `log` still
  std::size_t next_to_drop = 0;    // of `log`: what is before it has no payload any more
  std::size_t waiting_pieces = 0;  // append() calls that wait for room
  std::size_t status_entries = 0;  // so many were made
  async::Event changed;
  async::Event room;
  Instant idle_since{};
  bool idle = false;
  std::list<Call*>::iterator idle_place;

  bool has_expired() const { return expires != Instant::max() && expires <= monotonic_now(); }
  bool durable() const { return call.durability == model::Durability::durable; }
  std::uint64_t first_in_memory() const {
    return log.empty() ? last_number + 1 : log.front().number;
  }
};

inline bool ByAge::operator()(const Call* a, const Call* b) const {
  return a->created_at != b->created_at ? a->created_at < b->created_at
                                        : a->call.id.str() < b->call.id.str();
}
inline bool ByAge::operator()(const Call* a, const ListKey& b) const {
  return a->created_at != b.created_at ? a->created_at < b.created_at : a->call.id.str() < b.id;
}
inline bool ByAge::operator()(const ListKey& a, const Call* b) const {
  return a.created_at != b->created_at ? a.created_at < b->created_at : a.id < b->call.id.str();
}

}  // namespace thaw::queue::detail
