// SPDX-License-Identifier: Apache-2.0
//
// Fleet: the front of control: makes its parts, connects them, and passes on what containers, apps
// and people ask. Demand starts containers as the Scaler decides (scaler.h); Starts runs each to
// its end (starts.h); Inputs and Ports hand out work (inputs.h, ports.h); once each tick Limits
// ends what is past its time (limits.h). All of them share Pools (pools.h). An idle function has no
// process. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/container_views.h"
#include "thaw/control/expectations.h"
#include "thaw/control/fleet_options.h"
#include "thaw/control/function_views.h"
#include "thaw/control/inputs.h"
#include "thaw/control/keep_alive.h"
#include "thaw/control/limits.h"
#include "thaw/control/measurements.h"
#include "thaw/control/metering.h"
#include "thaw/control/orphans.h"
#include "thaw/control/pools.h"
#include "thaw/control/ports.h"
#include "thaw/control/processor_load.h"
#include "thaw/control/runtime.h"
#include "thaw/control/scaler.h"
#include "thaw/control/servers.h"
#include "thaw/control/snapshot_taker.h"
#include "thaw/control/snapshots.h"
#include "thaw/control/standbys.h"
#include "thaw/control/starts.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"
#include "thaw/worker/launch_folders.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

struct DiskUser;  // disk_watch.h

struct FleetParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  image::Builder& images;
  worker::Worker& worker;
  worker::MountFolders& mounts;
  worker::VolumeMounts& volumes;
  logs::LogHub& logs;
  Runtime& runtime;
  SecretEnv secret_env;
  Measurements& measurements;
  snapshot::SnapshotStore* snapshots = nullptr;  // none: level restored is never used
  meter::Ledger* ledger = nullptr;               // none: nothing is metered
};

class Fleet {
 public:
  Fleet(FleetParts parts, FleetOptions options);
  ~Fleet();

  // Begins to act on demand, also on what survived a crash.
  void start();
  // Ends all containers: idle ones at once, working ones get until `deadline`; nothing is left.
  async::Task<void> shut_down(Instant deadline);

  // --- a container speaks (its id is its socket's identity); not_found once it has ended ---
  Result<std::shared_ptr<const model::FunctionSpec>> spec_of(const model::ContainerId& id) const;
  // Says of one file below one of `folders` (as the container sees them) that a program of it has
  // it open, and which; empty: none has.
  async::Task<std::string> find_open_file(model::ContainerId id,
                                          std::vector<std::string> folders) const;
  // Where its ports are, as long as it lives. failed_precondition: it has no network.
  Result<std::string> address_of(const model::ContainerId& id) const;
  void said_hello(const model::ContainerId& id) { starts_.said_hello(id); }
  async::Task<Poll> next_inputs(model::ContainerId id, PollOptions options) {
    return inputs_.next(std::move(id), options);
  }
  // Of a poll whose answer nobody has heard: its next one gets them.
  void take_back(const model::ContainerId& id, std::vector<queue::LeasedInput> inputs) {
    inputs_.take_back(id, std::move(inputs));
  }
  async::Task<void> finish(model::ContainerId id, model::InputId input, model::Outcome outcome) {
    return inputs_.finish(std::move(id), std::move(input), std::move(outcome));
  }
  // Its own start failed: so those who wait are told.
  void start_failed(const model::ContainerId& id, model::Outcome outcome) {
    starts_.failed(id, std::move(outcome));
  }
  // How inputs of a content type are spoken of with servers (talk.h); before the first of them.
  void add_talk(std::string content_type, Talk& talk) {
    servers_.add_talk(std::move(content_type), talk);
  }
  // A server that is ready when its dialect says so (PushContract::Ready::By::said).
  void said_ready(const model::ContainerId& id) { servers_.said_ready(id); }
  // Its program has closed what it must and waits to be checkpointed.
  void reached_snapshot_point(const model::ContainerId& id) { snapshot_taker_.reached_point(id); }
  // Inputs to cancel, as soon as there are some, else empty at `hold_until`.
  async::Task<std::vector<model::InputId>> wait_for_cancels(model::ContainerId id,
                                                            Instant hold_until) {
    return inputs_.wait_for_cancels(std::move(id), hold_until);
  }

  // --- apps and people ---
  // A function was published, changed or given other limits: containers of who follows it end
  // after their work on an old version.
  void refresh(const model::FunctionId& function);
  // Ends everything of these functions; resumes when their containers are gone.
  async::Task<void> stop_functions(std::vector<model::FunctionId> functions, std::string message);
  // Somebody waits at a port of this version, or is served there.
  bool is_in_use(const model::Target& target) const;
  // These are kept no more: who stands idle there ends.
  void let_go(const std::vector<model::Target>& targets);
  // Requests to it may go to other versions now: those keep its minimum from now on.
  void reroute(const model::FunctionId& function);
  // Drops what was learnt of functions and versions that are gone.
  void forget_gone();
  // not_found; graceful lets running work finish.
  using StopHow = control::StopHow;
  Result<void> stop_container(const model::ContainerId& id, StopHow how);
  // Tells (or, with `now`, kills) the containers that run these inputs.
  void cancel_inputs(const std::vector<model::InputId>& inputs, StopHow how) {
    inputs_.cancel(inputs, how);
  }

  // --- web requests that go straight to a container's port ---
  using PortLease = control::PortLease;
  using PortAnswer = control::PortAnswer;
  using PortAsker = control::PortAsker;
  // If one is free at this moment.
  std::optional<PortLease> try_lease_port(const model::Target& target,
                                          const PortAsker& asker = {}) {
    return ports_.try_lease(target, asker);
  }
  // Waits for one, or for a start that fails. resource_exhausted: too many wait; deadline_exceeded;
  // unavailable: the app or the server is stopping.
  async::Task<PortAnswer> lease_port(model::Target target, Instant deadline, PortAsker asker = {}) {
    return ports_.lease(std::move(target), deadline, std::move(asker));
  }
  void return_port(const PortLease& lease, PortUse use = PortUse::answered) {
    ports_.give_back(lease, use);
  }
  // For one whose connection to a leased container broke: how that ended, as soon as it is known;
  // empty at `until`: it lives.
  async::Task<std::string> end_of(model::ContainerId id, Instant until);
  // A request at a port was ended at its time limit.
  void note_timeout() { ++counters_.input_timeouts; }

  std::vector<ContainerView> containers() const { return views_.living(); }
  // Oldest first.
  std::vector<ContainerView> finished_starts() const { return views_.finished(); }
  std::vector<FunctionView> functions() const;  // that were in use since the server started
  std::vector<DiskUser> disk_users() const;
  // What one of them has written into its root; nothing once it has ended.
  async::Task<worker::RootUse> measure_root(model::ContainerId id) const;
  // Ends it at once; its log and those who wait for its inputs are told why.
  void end_for(const model::ContainerId& id, const std::string& why) { limits_.end_for(id, why); }
  // Of all containers that live or are being started.
  std::vector<model::MountId> mounts_in_use() const { return views_.mounts_in_use(); }
  // Of a function, whichever version.
  std::size_t running_count(const model::FunctionId& function) const {
    return pools_.count(function);
  }
  std::size_t running_count(const model::FunctionId& function, const std::string& version) const {
    return pools_.count(function, version);
  }
  // The most containers that a function can have, as others find some too.
  std::size_t most_of_one_function() const;
  std::size_t most_containers() const { return options_.max_containers; }
  FleetOptions::MissingGpu missing_gpu() const { return options_.missing_gpu; }
  // Typical, of those that ended; 0: none has.
  Duration call_time_of(const model::Target& target) const;
  const FleetCounters& counters() const { return counters_; }
  const FreezerCounters& freezing() const { return pools_.freezing(); }
  // Of all containers since the server started.
  StateTimes container_times() const { return views_.times(); }
  const meter::MeterCounters& metered() const { return metering_.counters(); }
  // For tests: what should hold of all containers and does not, as sentences (invariants.h).
  std::vector<std::string> check_invariants() const;
  const SnapshotCounters& snapshot_counters() const { return snapshots_.counters(); }
  const StandbyCounters& standby_counters() const { return standbys_.counters(); }

 private:
  static async::Task<void> tick_loop(Fleet& fleet);
  async::Task<void> tick();

  FleetParts parts_;
  FleetOptions options_;
  FleetCounters counters_;
  Snapshots snapshots_;
  Metering metering_;
  Pools pools_;
  ProcessorLoad load_;
  KeepAlive keep_alive_;
  ContainerViews views_;
  LaunchPlans plans_;
  Expectations expectations_;
  SnapshotTaker snapshot_taker_;
  Starts starts_;
  Standbys standbys_;
  Inputs inputs_;
  Ports ports_;
  Servers servers_;
  Scaler scaler_;
  Limits limits_;
  Orphans orphans_;
  Instant last_sweep_ = monotonic_now();
  Instant last_save_ = monotonic_now();
  async::TaskGroup loops_;
};

}  // namespace thaw::control
