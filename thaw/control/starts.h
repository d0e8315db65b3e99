// SPDX-License-Identifier: Apache-2.0
//
// Starts: the life of one container, from the moment that it is decided on until nothing is left
// of it: plan, launch, ready, ended; and what its end means for its inputs. A start that failed is
// told to those who wait, and not tried again at once: a function that cannot start must not turn
// into a loop of crashes. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "thaw/async/task_group.h"
#include "thaw/control/container_views.h"
#include "thaw/control/launch_plans.h"
#include "thaw/control/processor_load.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

struct StartsParts {
  async::Loop& loop;
  Pools& pools;
  LaunchPlans& plans;
  worker::Worker& worker;
  queue::CallQueue& queue;
  catalog::Catalog& catalog;
  logs::LogHub& logs;
  Snapshots& snapshots;
  Measurements& measurements;
  ProcessorLoad& load;
  ContainerViews& views;
  FleetCounters& counters;
  // One that stood by has ended, and nobody has had it: as it should, or for this reason.
  std::function<void(const Container&, const Result<void>& how)> standby_ended;
  // The program of a server runs.
  std::function<void(const std::shared_ptr<Container>&)> watch_server;
  // A container is gone: what it had may wait for another.
  std::function<void(const model::Target&)> demand;
};

class Starts {
 public:
  explicit Starts(StartsParts parts) : parts_(std::move(parts)), tasks_(parts_.loop) {}
  async::Task<void> stop() { return tasks_.stop(); }

  void start(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec);

  // One that is restored ahead of a call and never booted; nullptr is never returned.
  ContainerPtr start_standby(std::shared_ptr<const model::FunctionSpec> spec);
  // It is ready, and is this pool's from now on, as if it had been started by a thaw.
  void adopt(Pool& pool, const ContainerPtr& container);

  // --- its program speaks ---
  void said_hello(const model::ContainerId& id);
  // Its own start failed: so those who wait are told.
  void failed(const model::ContainerId& id, model::Outcome outcome);
  void became_ready(Pool& pool, Container& container);
  void became_standby(Container& container);
  // Looked at now and then: a server that was restored and has answered somebody is well.
  void note_served(Container& container);

  // Somebody waits for a target whose next start is not due yet, and whose last one told why it
  // failed: the wait would end with the same words.
  bool is_known_to_fail(const Pool& pool) const;
  // Those who wait are told; nobody retries what fails before the first line of their function.
  async::Task<void> tell_waiting(PoolPtr pool, model::Outcome outcome);

 private:
  enum class StartFailure { may_pass, lasting };

  // Why a pool gets a container more than it has.
  meter::Cause cause_of_start(const Pool& pool, const model::FunctionSpec& spec) const;
  static async::Task<void> run(Starts& self, ContainerPtr container);
  void note_launch(Container& container, const snapshot::SnapshotPtr& offered);
  void note_ready(Container& container);
  static Result<void> restore_only(worker::LaunchPlan& plan);
  bool blames_snapshot(Container& container, const Result<sandbox::ExitStatus>& status,
                       const std::string& how);
  void end_standby(Container& container, const Result<sandbox::ExitStatus>& status,
                   const std::string& how);
  async::Task<void> ended(ContainerPtr container, Result<sandbox::ExitStatus> status);
  async::Task<void> ended_badly(PoolPtr pool, ContainerPtr container, std::string message,
                                StartFailure failure);

  StartsParts parts_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::control
