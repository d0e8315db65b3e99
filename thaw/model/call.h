// SPDX-License-Identifier: Apache-2.0
//
// A call is one request to a function, with one or more inputs; an attempt is one delivery of an
// input to a container. Every call's output is one append-only, numbered log. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/callback.h"
#include "thaw/model/failure.h"
#include "thaw/model/ids.h"
#include "thaw/model/level.h"
#include "thaw/model/payload.h"
#include "thaw/model/target.h"

namespace thaw::model {

// memory: the caller waits on the line and repeats itself if the server dies (a synchronous call).
// durable: acknowledged only once it is on disk; runs at least once; its result is kept.
enum class Durability { memory, durable };

// Who made a call. The numbers are on disks.
enum class Origin : std::uint8_t { client = 0, container = 1, web = 2, schedule = 3 };

// Whether a call's log tells also what becomes of its inputs on the way to their ends. A call that
// nobody wants it of pays nothing for it.
enum class StatusEntries : std::uint8_t { no, yes };

struct RetryPolicy {
  int max_retries = 0;
  Duration initial_delay = 1s;
  Duration max_delay = 60s;
  double backoff = 2.0;
};

// What a call allows beside what its function does. Moments are the wall's: they hold over a
// restart of the server, and while it runs no jump of its clock moves them.
struct CallLimits {
  std::optional<WallTime> queue_until;  // what waits then ends as expired, and is never delivered
  std::optional<WallTime> end_by;       // the same, and what runs then is timed out
  std::optional<Duration> run_for;      // one delivery, instead of the function's own time limit
  // After failures that are nobody's program's; 0: no input begins twice for another reason than
  // the call's own retries, whatever dies. None: the queue's number.
  std::optional<int> redeliveries;
};

// How long a durable call is kept after its end. None: as long as the queue keeps results.
struct Keep {
  std::optional<Duration> payload_for;  // what its log carries
  std::optional<Duration> record_for;   // all of it
};

struct NewCall {
  CallId id;
  WorkspaceId workspace;
  AppId app;
  FunctionId function;  // the pool that serves it (a bound function has its own id)
  Durability durability = Durability::memory;
  RetryPolicy retry;
  InputId parent_input;  // of the input that made this call from inside a container; may be empty
  std::string options;   // opaque to the queue; kept with the call
  Origin origin = Origin::client;
  StatusEntries status = StatusEntries::no;
  CallLimits limits = {};
  Keep keep = {};
  // Durable calls only. The queue keeps them beside the call: in what it tells there are none.
  std::vector<Callback> callbacks = {};
  std::string version = {};  // of the function, and no other; empty: whichever is live
  TokenId token = {};        // with which its caller came; empty: without one, or nobody knows

  Target target() const { return {function, version}; }
};

struct NewInput {
  int index = 0;    // the caller's numbering, from 0
  Payload payload;  // delivered to the container as it is
};

enum class OutcomeKind {
  success,
  failure,           // the user's code failed: retried by the call's policy
  timeout,           // the input ran past its limit: retried by the call's policy
  terminated,        // cancelled: never retried
  internal_failure,  // the container or the platform failed: redelivered, within a bound
  expired,           // it waited longer than its call allows: never retried
};

// `payload` is what the container had to say, its result or its own failure; `failure` is what the
// platform says of an end that is not a success. A caller is told the former where there is one.
struct Outcome {
  OutcomeKind kind = OutcomeKind::success;
  Payload payload = {};
  FailurePtr failure = nullptr;
};

// An end of which the platform speaks.
inline Outcome failed(OutcomeKind kind, Failure failure) {
  return {kind, {}, std::make_shared<const Failure>(std::move(failure))};
}

constexpr std::string_view outcome_name(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::success: return "success";
    case OutcomeKind::failure: return "failure";
    case OutcomeKind::timeout: return "timeout";
    case OutcomeKind::terminated: return "terminated";
    case OutcomeKind::internal_failure: return "internal_failure";
    case OutcomeKind::expired: return "expired";
  }
  return "failure";
}

constexpr std::string_view origin_name(Origin origin) {
  switch (origin) {
    case Origin::client: return "client";
    case Origin::container: return "container";
    case Origin::web: return "web";
    case Origin::schedule: return "schedule";
  }
  return "client";
}

// What has become of an input that has not ended.
struct CallStatus {
  // started: a container has it. retried: a delivery ended as `outcome` of the entry says, and
  // another will follow. cancelled: of the whole call; what runs is told to leave it. The numbers
  // are on disks.
  enum class What : std::uint8_t { none = 0, started = 1, retried = 2, cancelled = 3 };
  What what = What::none;
  Level level = Level::booted;  // started: what the container was when it got it
  std::string version = {};     // started: that the container runs
};

// One entry of a call log.
struct LogEntry {
  // The numbers are on disks.
  enum class Kind : std::uint8_t { chunk = 1, status = 4, final_ = 5 };
  std::uint64_t number = 0;  // from 1, without gaps
  Kind kind = Kind::chunk;
  InputId input;
  int index = 0;                               // of the input
  int attempts = 0;                            // final_: how many deliveries it took
  OutcomeKind outcome = OutcomeKind::success;  // final_, and what was retried
  ContainerId container;                       // that produced it; may be empty
  WallTime at{};                               // zero: written before entries had a time
  // Both are empty in a final entry whose result is not kept any more.
  Payload payload;
  FailurePtr failure;   // final_, and what was retried
  CallStatus status;    // status only
  std::string version;  // final_: that its last container ran; empty: it had none, or it is old
};

}  // namespace thaw::model
