// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/shares.h"

#include <algorithm>

namespace thaw::queue::detail {

namespace {

std::string mebibytes(std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

Result<void> admit(const QueueLimits& limits, const Share& all, const Share& workspace,
                   const Share& function, const Share& asked, const std::string& function_name) {
  const std::size_t total = limits.payload_bytes_in_memory;
  // A queue that is made small for a machine keeps the proportions.
  const std::size_t reserve =
      std::min({limits.reserved_bytes, total / 8, limits.bytes_per_workspace / 4});
  const std::size_t small = std::min(limits.small_share_bytes, total / 64);
  const std::size_t after = function.bytes + asked.bytes;
  if (after > std::min(limits.bytes_per_function, total)) {
    return Error::resource_exhausted(
        "the calls of the function " + function_name + " hold " + mebibytes(function.bytes) +
        " of arguments and results that were not taken yet (at most " +
        mebibytes(limits.bytes_per_function) + "); read its results, or try again later");
  }
  const std::size_t of_workspace =
      std::min(limits.bytes_per_workspace, total) - (after <= small ? 0 : reserve / 2);
  if (workspace.bytes + asked.bytes > of_workspace) {
    return Error::resource_exhausted(
        "the calls of the workspace hold " + mebibytes(workspace.bytes) +
        " of arguments and results that were not taken yet (at most " +
        mebibytes(limits.bytes_per_workspace) + "); read results, or try again later");
  }
  const bool is_small = workspace.bytes + asked.bytes <= small;
  if (all.bytes + asked.bytes > total - (is_small ? 0 : reserve)) {
    return Error::resource_exhausted("the queue of the server holds " + mebibytes(all.bytes) +
                                     " of arguments and results (at most " + mebibytes(total) +
                                     "); try again later");
  }
  if (workspace.unfinished + asked.unfinished > limits.unfinished_per_workspace) {
    return Error::resource_exhausted("the workspace has " + std::to_string(workspace.unfinished) +
                                     " inputs that have not ended (at most " +
                                     std::to_string(limits.unfinished_per_workspace) +
                                     "); try again later");
  }
  const std::size_t most = most_calls - (workspace.calls < few_calls ? 0 : reserved_calls);
  if (workspace.calls + asked.calls > most_calls_per_workspace || all.calls + asked.calls > most) {
    return Error::resource_exhausted("the queue remembers " + std::to_string(workspace.calls) +
                                     " calls of the workspace (at most " +
                                     std::to_string(most_calls_per_workspace) + ") and " +
                                     std::to_string(all.calls) + " in all (at most " +
                                     std::to_string(most_calls) + "); try again later");
  }
  return ok();
}

}  // namespace thaw::queue::detail
