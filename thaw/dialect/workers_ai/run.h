// SPDX-License-Identifier: Apache-2.0
//
// Run: one call of a model for one request, from its creation until its caller has been told, or
// has left: then the call is cancelled. It is a call in memory: who waits on the line asks again
// himself if the server dies. What the model says is taken as fast as the caller takes it, and
// beyond what the queue keeps for one call the model waits. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/dialect/workers_ai/chosen.h"
#include "thaw/dialect/workers_ai/told.h"

namespace thaw::dialect::workers_ai {

// What a whole run has come to.
struct Whole {
  std::vector<Ended> ends;  // by index
};

class Run {
 public:
  // Both outlive it.
  Run(Context& cx, net::HttpExchange& exchange) : cx_(cx), exchange_(exchange) {}

  async::Task<void> begin(const Chosen& chosen, Payloads payloads);

  // The next entries; empty: none within a while.
  async::Task<std::vector<model::LogEntry>> next();
  Context& context() const { return cx_; }
  const model::WorkspaceId& workspace() const { return workspace_; }
  bool has_ended() const { return ended_ >= inputs_; }
  // From here on no input begins anew: what it has said has left the house.
  void forbid_repeats() { cx_.owners.queue.forbid_repeats(call_); }
  // All that is left, to the end. The error is its caller's.
  async::Task<Whole> whole();

  // Cancels what has not ended. Always the last.
  async::Task<void> finish();

 private:
  static async::Task<void> watch(Run& run);

  Context& cx_;
  net::HttpExchange& exchange_;
  model::CallId call_;
  model::WorkspaceId workspace_;
  std::size_t inputs_ = 0;
  std::size_t ended_ = 0;
  std::uint64_t after_ = 0;
  std::unique_ptr<async::TaskGroup> watches_;
};

// Runs `body` with a run that has begun, and finishes that whatever becomes of it.
using WithRun = std::function<async::Task<void>(Run& run)>;
async::Task<void> with_run(Context& cx, net::HttpExchange& exchange, const Chosen& chosen,
                           Payloads payloads, WithRun body);

// Its files are in their places.
async::Task<codec::Json> output_with_files(Context& cx, model::WorkspaceId workspace, Ended ended);

// The request's payloads, made on the pool if they are large.
async::Task<Payloads> make_payloads(Context& cx, model::WorkspaceId workspace, const Chosen& chosen,
                                    RunRequest request, std::size_t bytes);

}  // namespace thaw::dialect::workers_ai
