// SPDX-License-Identifier: Apache-2.0
//
// The two records of the ledger, in integers only. A span is what one container cost: how long it
// was in each state, and what it held meanwhile. A line is what of that one call, or one exchange
// through a passage, is charged. Plain values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/call.h"
#include "thaw/model/ids.h"
#include "thaw/model/level.h"

namespace thaw::meter {

// Why a container was started. The numbers are on disks.
enum class Cause : std::uint8_t {
  call = 0,      // somebody waited
  min = 1,       // its function keeps so many
  buffer = 2,    // or so many beside those that work
  ahead = 3,     // a call was expected
  snapshot = 4,  // a memory snapshot is made or tried of it
};
inline constexpr std::size_t causes = 5;
std::string_view cause_name(Cause cause);

// idle: ready, and nobody's. The numbers are places in Totals::us.
enum class State : std::uint8_t { starting, busy, idle, frozen, ending };
inline constexpr std::size_t states = 5;

// Of one span until some moment.
struct Totals {
  std::array<std::int64_t, states> us{};
  std::int64_t shared_us = 0;         // of busy: what lines are charged that have ended
  std::int64_t charged_start_us = 0;  // of starting: what the first of them is charged
  std::int64_t byte_seconds = 0;      // of memory, but for frozen time
  std::int64_t frozen_byte_seconds = 0;
  std::int64_t cpu_us = 0;  // as the kernel counts it

  std::int64_t of(State state) const { return us[static_cast<std::size_t>(state)]; }
  std::int64_t life_us() const;
};

// To whom the time of spans goes. Their sum is the time of all spans.
enum class Part : std::uint8_t {
  calls,       // the shares of lines
  cold,        // starts that a line is charged: somebody waited for them
  kept_warm,   // idle, frozen and ending, and starts that nobody waited for
  background,  // snapshots, and what worked for nobody in the end
  under_way,   // of spans that go on: whose it is is not known yet
};
inline constexpr std::size_t parts = 5;
std::string_view part_name(Part part);

struct Amount {
  std::int64_t us = 0;
  std::int64_t cpu_us = 0;
  std::int64_t byte_seconds = 0;
  std::int64_t frozen_byte_seconds = 0;

  Amount& operator+=(const Amount& more);
  Amount operator-(const Amount& less) const;
  bool operator==(const Amount&) const = default;
};
using Parts = std::array<Amount, parts>;
inline Amount& of(Parts& all, Part part) { return all[static_cast<std::size_t>(part)]; }
inline const Amount& of(const Parts& all, Part part) { return all[static_cast<std::size_t>(part)]; }

struct SpanFacts {
  model::ContainerId container;
  model::WorkspaceId workspace;
  model::FunctionId function;
  std::string function_name;  // for people, once the function is gone
  std::string version;
  std::string node;
  Cause cause = Cause::call;
  std::string gpu;  // its kind; empty: none
  std::int64_t gpus = 0;
  WallTime began{};
};

// What a line is known by from its beginning on.
struct LineStart {
  std::string id;  // of the input and its attempt, or of the exchange
  model::CallId call;
  int attempt = 1;
  enum class Kind : std::uint8_t { call, exchange } kind = Kind::call;
  model::TokenId token;  // empty: its caller showed none, or it is not known
  std::string front;     // the dialect of its function
  model::Origin origin = model::Origin::client;
  model::Level level = model::Level::warm;  // what the container was when it got it
  std::int64_t queued_us = 0;
  std::optional<std::int64_t> bytes_in = {};  // of its payload; none: nobody has counted them
  bool is_owed = false;                       // its queue has written it down with its outcome
};

// Tokens of models, where somebody has counted them. None: unknown.
struct ModelTokens {
  std::optional<std::int64_t> in;
  std::optional<std::int64_t> out;
  std::optional<std::int64_t> cached;
};

struct LineEnd {
  std::string_view outcome;  // "success", "failure", …
  std::optional<std::int64_t> bytes_out = {};
  ModelTokens tokens = {};
};

struct Line {
  LineStart start;
  model::ContainerId container;
  model::WorkspaceId workspace;
  model::FunctionId function;
  std::string outcome;
  WallTime ended{};
  std::int64_t run_us = 0;    // from its beginning in the container to its end
  std::int64_t share_us = 0;  // of the container's busy time: the integral of dt/k
  std::int64_t cold_us = 0;   // of the container's start, if it is the first one there
  std::optional<std::int64_t> bytes_out;
  ModelTokens tokens;
  std::string route;  // the version that served it
};

// A level that somebody had to wait for a start by.
inline bool is_cold(model::Level level) {
  return level == model::Level::forked || level == model::Level::restored ||
         level == model::Level::booted;
}

}  // namespace thaw::meter
