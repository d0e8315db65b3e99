// SPDX-License-Identifier: Apache-2.0
//
// What of the ledger a bill is made of: sums by day, workspace and function, and of calls also by
// token, front and level. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thaw/meter/records.h"

namespace thaw::meter {

struct CallSums {
  std::int64_t calls = 0;
  std::int64_t failures = 0;  // that did not succeed
  std::int64_t queued_us = 0;
  std::int64_t run_us = 0;
  std::int64_t share_us = 0;
  std::int64_t cold_us = 0;
  std::int64_t bytes_in = 0;
  std::int64_t bytes_out = 0;
  std::int64_t uncounted = 0;  // calls whose tokens nobody has counted
  std::int64_t tokens_in = 0;
  std::int64_t tokens_out = 0;
  std::int64_t tokens_cached = 0;
  // Of lines that are still kept, each rounded up as was asked for.
  std::int64_t billed_us = 0;
  std::int64_t billed_calls = 0;

  CallSums& operator+=(const CallSums& more);
};

struct CallRow {
  std::int64_t day = 0;  // since the epoch
  model::WorkspaceId workspace;
  model::FunctionId function;
  model::TokenId token;
  std::string front;
  model::Level level = model::Level::warm;
  CallSums sums;
};

struct PartRow {
  std::int64_t day = 0;
  model::WorkspaceId workspace;
  model::FunctionId function;
  Part part = Part::calls;
  std::string gpu;
  Amount amount;
  std::int64_t gpu_us = 0;
};

struct Usage {
  std::vector<CallRow> calls;
  std::vector<PartRow> spans;
  std::map<model::FunctionId, std::string> names;
};

// Each call's time is rounded up to whole `to_us`, and is `least_us` at least. Nothing of both: no
// line is looked at.
struct Rounding {
  std::int64_t to_us = 0;
  std::int64_t least_us = 0;
  bool is_asked_for() const { return to_us > 0 || least_us > 0; }
};
std::int64_t rounded(std::int64_t us, const Rounding& rounding);

struct UsageFilter {
  std::vector<model::WorkspaceId> workspaces;
  // Whole minutes, the latter not included.
  WallTime from{};
  WallTime until{};
  Rounding rounding = {};
};

}  // namespace thaw::meter
