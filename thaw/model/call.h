// SPDX-License-Identifier: Apache-2.0
//
// A call is one request to a function, with one or more inputs; an attempt is one delivery of an
// input to a container. Every call's output is one append-only, numbered log. Payloads are opaque
// bytes of the dialect that made them. Plain values.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

// memory: the caller waits on the line and repeats itself if the server dies (a synchronous call).
// durable: acknowledged only once it is on disk; runs at least once; its result is kept.
enum class Durability { memory, durable };

struct RetryPolicy {
  int max_retries = 0;
  Duration initial_delay = 1s;
  Duration max_delay = 60s;
  double backoff = 2.0;
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
};

struct NewInput {
  int index = 0;        // the caller's numbering, from 0
  std::string payload;  // opaque; delivered to the container as it is
};

enum class OutcomeKind {
  success,
  failure,           // the user's code failed: retried by the call's policy
  timeout,           // the input ran past its limit: retried by the call's policy
  terminated,        // cancelled: never retried
  internal_failure,  // the container or the platform failed: redelivered, within a bound
};

struct Outcome {
  OutcomeKind kind = OutcomeKind::success;
  std::string payload;  // opaque result of the dialect
};

// One entry of a call log.
struct LogEntry {
  enum class Kind : std::uint8_t { chunk = 1, metric = 2, progress = 3, status = 4, final_ = 5 };
  std::uint64_t number = 0;  // from 1, without gaps
  Kind kind = Kind::chunk;
  InputId input;
  int index = 0;                               // of the input
  int attempts = 0;                            // final_: how many deliveries it took
  OutcomeKind outcome = OutcomeKind::success;  // final_ only
  ContainerId container;                       // that produced it; may be empty
  std::string payload;
};

}  // namespace thaw::model
