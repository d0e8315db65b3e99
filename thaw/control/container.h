// SPDX-License-Identifier: Apache-2.0
//
// One container as control sees it, and the stages of its start. Owned by Pools.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/control/state_clock.h"
#include "thaw/model/call.h"
#include "thaw/model/function.h"
#include "thaw/model/level.h"
#include "thaw/model/target.h"
#include "thaw/policy/pool_load.h"
#include "thaw/queue/call_queue.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

// Moments of a start, in order; a zero moment was not reached. The stages a person reads are the
// differences: queue, sandbox, interpreter (up to the client's first word), user code (imports and
// enter hooks), call.
struct StartMoments {
  Instant demanded{};
  Instant launching{};
  Instant sandbox{};
  Instant interpreter{};  // the language runtime runs its first line
  Instant hello{};
  Instant ready{};
  Instant first_output{};
};

struct RunningInput {
  model::CallId call;
  Instant started{};
  Instant deadline = Instant::max();        // none while its batch fills
  model::Level level = model::Level::warm;  // what the container was when it got the input
  // Who cancels an input that is not on its way yet is heard when it is.
  enum class Delivery { to_come, to_come_cancelled, done } delivery = Delivery::to_come;
  int attempt = 0;                  // of the call: which delivery this is
  Duration run_for{};               // at most, from its start
  Instant end_by = Instant::max();  // of its call
  std::uint64_t line = 0;           // of the ledger; 0: none
};

enum class StopReason {
  none,
  idle,
  unhealthy,
  made_room,  // idle or in the background, and a call of another function had none
  made_way,   // its function has as many as it may, and another version of it had none
  replaced,
  app_stopped,
  single_use,
  timeout,
  user,
  shutdown,
  limit
};
std::string_view stop_reason_name(StopReason reason);
// Whether it may finish what it does.
enum class StopHow { graceful, now };

// How it came to be there. Written by those who go on with its start: LaunchPlans, Starts, and for
// a snapshot the SnapshotTaker.
struct Start {
  model::Level level = model::Level::booted;  // what it was started by, once it is running
  StartMoments moments;
  bool reached_ready = false;
  bool in_a_crowd = false;        // others started beside it: what it took says little of its level
  bool volumes_are_full = false;  // when it was started: it cannot write to them
  std::optional<model::Outcome> failure;  // so its start failed, where more is known than its end
  std::string snapshot_key;               // of its plan; empty: it has no snapshot point
  snapshot::SnapshotPtr offered;          // what its plan restores, until it is launched
  snapshot::SnapshotPtr restored_from;    // until it is ready, and a server has served somebody
  bool was_late = false;                  // it was not ready by the time that it had for it
  bool was_unfit = false;                 // it was restored, and did not take the news of that
  // Of one in the background: its start is over, and it is looked at, written or tried.
  bool at_snapshot_point = false;
};

// What it does. Written by Inputs, Driver and Ports, and by Limits for what ran past its time.
struct Work {
  std::map<model::InputId, RunningInput> inputs;  // from the moment they are leased
  std::vector<queue::LeasedInput> batch;          // of them those whose poll was broken off
  std::size_t batch_room = 0;                     // of a batch that fills: what it still takes
  std::size_t parked_polls = 0;                   // for inputs
  std::vector<model::InputId> cancels;            // to tell with the next heartbeat
  std::size_t proxied = 0;                        // web requests on the container's own port
  std::size_t calls_served = 0;                   // however they ended
  std::size_t answers = 0;                        // of its server: that have begun to come
  std::size_t passages_timed_out = 0;
  Instant idle_since{};
};

// Why and when it ends. Written by Pools::stop, and by Limits.
struct Ending {
  StopReason reason = StopReason::none;
  std::string why;                   // with StopReason::limit: which, as users are told
  Instant kill_at = Instant::max();  // when a stopping container is ended by force
  Instant cut_off_since{};           // no connection of its is open, though it has inputs
};

// Written by the Freezer alone.
struct Freezing {
  enum class State { no, freezing, yes } state = State::no;
  Duration retry{};         // until the next look at one that was not quiet
  std::uint64_t count = 0;  // tells a freeze under way from those before it
  bool is_watched = false;
  bool is_reclaimed = false;
  Duration thaw_time{};  // of the last thaw
};

// Read of the kernel, and set there: by ProcessorLoad, share_processors() and note_memory().
struct Measured {
  Instant memory_seen{};     // when its memory was last measured
  Instant survival_noted{};  // of what was killed in it for memory
  policy::ContainerLoad load;
  double weight = 1;  // of its cgroup, as last set
};

struct Container : std::enable_shared_from_this<Container> {
  model::ContainerId id;
  std::shared_ptr<const model::FunctionSpec> spec;
  model::Target target;  // whose it is: its version, or whichever is live
  WallTime created_at{};
  // In the background: they belong to no pool and get no inputs.
  bool for_snapshot = false;
  bool stands_by = false;  // until a pool has it (Pools::adopt)
  bool has_place = true;   // of those that the machine has; a record of one that is gone: none
  std::unique_ptr<worker::RunningContainer> running;
  async::Event wake;  // inputs, a stop or a cancel may be there

  // What it is at this moment: follows from the parts below; written by Pools alone.
  Status status = Status::starting;
  StateClock clock;

  Start start;
  Work work;
  Ending ending;
  Freezing freezing;
  Measured measured;

  bool in_background() const { return for_snapshot || stands_by; }
  bool stopping() const { return ending.reason != StopReason::none; }
  bool idle() const { return start.reached_ready && work.inputs.empty() && work.proxied == 0; }
};

}  // namespace thaw::control
