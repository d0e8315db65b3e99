// SPDX-License-Identifier: Apache-2.0
//
// What a function and a workspace hold of the queue, and whether more fits: nobody can take all of
// it, and who has little gets in while others are at their limits. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "thaw/base/result.h"
#include "thaw/queue/call_queue.h"

namespace thaw::queue::detail {

struct Share {
  std::size_t bytes = 0;       // of payloads in memory
  std::size_t unfinished = 0;  // inputs
  std::size_t calls = 0;
};

constexpr std::size_t most_calls = 1'000'000;
constexpr std::size_t most_calls_per_workspace = 500'000;
constexpr std::size_t reserved_calls = 50'000;  // for workspaces with few of them
constexpr std::size_t few_calls = 1'000;

// `asked.bytes` more, and so on. resource_exhausted names the limit.
Result<void> admit(const QueueLimits& limits, const Share& all, const Share& workspace,
                   const Share& function, const Share& asked, const std::string& function_name);

}  // namespace thaw::queue::detail
