// SPDX-License-Identifier: Apache-2.0
//
// Fleet: every container of this server. Demand (inputs in the queue, waiting web requests) starts
// containers as policy::plan_scale says; a container asks for inputs and gets them under a lease;
// idle ones end after their window; time limits are enforced by a coarse tick; what became of a
// container decides what becomes of its inputs. An idle function has no process. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/container.h"
#include "thaw/control/freezer.h"
#include "thaw/control/measurements.h"
#include "thaw/control/runtime.h"
#include "thaw/control/snapshots.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"
#include "thaw/policy/keep_alive.h"
#include "thaw/policy/machine_load.h"
#include "thaw/policy/scale.h"
#include "thaw/policy/share.h"
#include "thaw/queue/call_queue.h"
#include "thaw/worker/mount_layers.h"
#include "thaw/worker/volumes.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

struct DiskUser;  // disk_watch.h

struct FleetOptions {
  std::size_t max_containers = 200;
  std::size_t max_starting = 0;  // 0: four for each processor, at least eight
  enum class MissingGpu { error, cpu } missing_gpu = MissingGpu::error;
  std::uint64_t default_memory_bytes = 0;  // limit for functions that ask for none; 0: none
  Duration stop_grace = 30s;               // exit hooks of a container that ends by itself
  Duration interrupt_grace = 5s;           // of one that is told to end while it works
  std::size_t max_port_waiters = 1000;     // requests that wait for a port, of each function
  std::size_t kept_starts = 500;           // finished containers remembered for people
  FreezerOptions freezer;
  // For functions whose user named no window.
  policy::KeepAliveSettings keep_alive = {.price_per_gb = 8, .longest_held = 1h};
  Duration shortest_window = 10s;
  bool expects = true;  // what a first start of a published function needs is made ahead
  Duration expect_after = 2s;
};

struct FleetParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  image::Builder& images;
  worker::Worker& worker;
  worker::MountLayers& mounts;
  worker::Volumes& volumes;
  logs::LogHub& logs;
  Runtime& runtime;
  // Environment ("NAME=value") of a secret; data_loss when it cannot be read.
  std::function<Result<std::vector<std::string>>(const model::Secret&)> secret_env;
  Measurements& measurements;
  snapshot::SnapshotStore* snapshots = nullptr;  // none: level restored is never used
};

// A container for people: `thaw ps`, `thaw logs --starts`, TaskList.
struct ContainerView {
  model::ContainerId id;
  std::shared_ptr<const model::FunctionSpec> spec;
  Status status = Status::starting;
  model::Level level = model::Level::booted;
  StartMoments moments;
  WallTime created_at{};
  std::size_t inputs = 0;
  std::size_t calls_served = 0;
  std::uint64_t memory_bytes = 0;
  int pid = 0;
  std::string end;  // how it ended; empty while it lives
  Duration lived{};
  StateTimes times;                         // in each state
  Duration thaw_time{};                     // of its last thaw; 0: was not frozen
  std::vector<worker::Fallback> fallbacks;  // better levels that its start tried in vain
};

// A function for people: `thaw functions`.
struct FunctionView {
  std::shared_ptr<const model::FunctionSpec> spec;
  std::size_t containers = 0;
  Duration idle{};  // since its last call ended; 0: none yet
  policy::KeepAlivePlan plan;
  Duration start_time{};  // what a start takes, 0: unknown
  Duration call_time{};
  std::vector<model::Level> levels;  // that the last start tried, in order
  policy::LevelRecords records;
};

struct Poll {
  std::vector<queue::LeasedInput> inputs;  // empty and !stop: ask again
  bool stop = false;
};

struct PollOptions {
  std::size_t max = 1;
  Duration linger{};     // how long to wait for a batch to fill
  Instant hold_until{};  // answer by then, with or without inputs
};

struct FleetCounters {
  std::map<model::Level, std::uint64_t> answers;  // by what the container was when it got the call
  std::map<model::Level, std::uint64_t> starts;   // of containers whose program ran
  std::map<std::pair<model::Level, std::string>, std::uint64_t> fallbacks;  // by level and reason
  std::uint64_t start_failures = 0;
  std::uint64_t started_ahead = 0;  // of an expected call
  std::uint64_t out_of_memory = 0;
  std::uint64_t input_timeouts = 0;
  std::uint64_t crashes = 0;
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
  // Of its first process, in the host's numbers.
  Result<int> pid_of(const model::ContainerId& id) const;
  void said_hello(const model::ContainerId& id);
  async::Task<Poll> next_inputs(model::ContainerId id, PollOptions options);
  async::Task<void> finish(model::ContainerId id, model::InputId input, model::Outcome outcome);
  // Its own start failed, with the dialect's payload for those who wait.
  void start_failed(const model::ContainerId& id, std::string payload);
  // Its program has closed what it must and waits to be checkpointed.
  void reached_snapshot_point(const model::ContainerId& id);
  // Inputs to cancel, as soon as there are some, else empty at `hold_until`.
  async::Task<std::vector<model::InputId>> wait_for_cancels(model::ContainerId id,
                                                            Instant hold_until);

  // --- apps and people ---
  // A function was published, changed or given other limits: old versions end after their work.
  void refresh(const model::FunctionId& function);
  // Ends everything of these functions; resumes when their containers are gone.
  async::Task<void> stop_functions(std::vector<model::FunctionId> functions, std::string message);
  // Drops what was learnt of functions that are gone, and of versions that are not among these.
  void forget_gone(const std::set<std::string>& versions);
  // not_found; graceful lets running work finish.
  enum class StopHow { graceful, now };
  Result<void> stop_container(const model::ContainerId& id, StopHow how);
  // Tells (or, with `now`, kills) the containers that run these inputs.
  void cancel_inputs(const std::vector<model::InputId>& inputs, StopHow how);

  // --- web requests that go straight to a container's port ---
  struct PortLease {
    model::ContainerId container;
    std::string address;
    model::Level level = model::Level::warm;  // what the container was when it got the request
  };
  // If one is free at this moment.
  std::optional<PortLease> try_lease_port(const model::FunctionId& function);
  // Waits for one. resource_exhausted: too many wait; deadline_exceeded; unavailable: the app or
  // the server is stopping; failed_precondition: the start failed, with the payload of it as
  // message.
  async::Task<PortLease> lease_port(model::FunctionId function, Instant deadline);
  void return_port(const PortLease& lease);
  // A request at a port was ended at its time limit.
  void note_timeout() { ++counters_.input_timeouts; }

  std::vector<ContainerView> containers() const;
  std::vector<ContainerView> finished_starts() const;  // oldest first
  std::vector<FunctionView> functions() const;         // that were in use since the server started
  std::vector<DiskUser> disk_users() const;
  // Ends it at once; its log and those who wait for its inputs are told why.
  void end_for(const model::ContainerId& id, const std::string& why);
  // Of all containers that live or are being started.
  std::vector<model::MountId> mounts_in_use() const;
  std::size_t running_count(const model::FunctionId& function) const;
  // The most containers that a function can have, as others find some too.
  std::size_t most_of_one_function() const;
  std::size_t most_containers() const { return options_.max_containers; }
  FleetOptions::MissingGpu missing_gpu() const { return options_.missing_gpu; }
  // Typical, of those that ended; 0: none has.
  Duration call_time_of(const model::FunctionId& function) const;
  const FleetCounters& counters() const { return counters_; }
  const FreezerCounters& freezing() const { return freezer_.counters(); }
  // Of all containers since the server started.
  StateTimes container_times() const;
  const SnapshotCounters& snapshot_counters() const { return snapshots_.counters(); }

 private:
  struct Pool;
  using ContainerPtr = std::shared_ptr<Container>;

  std::shared_ptr<Pool> shared_pool(const model::FunctionId& function);
  Pool& pool_of(const model::FunctionId& function) { return *shared_pool(function); }
  ContainerPtr find(const model::ContainerId& id) const;
  void demand(const model::FunctionId& function);
  void evaluate(Pool& pool);
  // What evaluate() found, and what all of it together may have.
  struct WantedStart {
    model::FunctionId function;
    std::shared_ptr<const model::FunctionSpec> spec;
    policy::StartRequest request;
  };
  void want_starts(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec,
                   const policy::ScalePlan& plan);
  void grant_wanted_starts();
  void make_room_for(const Pool& pool, const model::FunctionSpec& spec, std::size_t count);
  void look_at_who_waits();
  void share_processors(Instant now);
  bool has_better_start_soon(Pool& pool, const policy::PoolView& view);
  void start_container(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec);
  void stop(Container& container, StopReason reason, Duration grace);
  void became_ready(Pool& pool, Container& container);
  bool is_crowded() const;
  void update_status(Container& container);
  // Before the container is given work: what it is at this moment.
  model::Level awaken(Container& container);
  std::optional<PortLease> free_port(Pool& pool);
  async::Task<void> record_deliveries(ContainerPtr container,
                                      std::vector<queue::LeasedInput>& inputs);
  std::vector<queue::LeasedInput> lease(Container& container, std::size_t most);
  async::Task<void> park(Pool& pool, ContainerPtr container, Instant until);

  void note_machine(Instant now);
  void expect_load(Instant now);
  void note_load(Instant now);
  void note_ready_load(Pool& pool, Container& container);
  static void note_first_answer(Pool& pool, Container& container);
  policy::MachineView machine_view(Instant now) const;
  policy::ProcessorView processors_for(Pool& pool, const policy::PoolView& view);

  void note_arrival(Pool& pool);
  void note_end(Pool& pool);
  void resume_gaps();
  void plan_gap(Pool& pool, const model::FunctionSpec& live);
  Duration start_time_of(const Pool& pool, const model::FunctionSpec& live) const;
  policy::PoolView::Last keep_last(Pool& pool, const model::FunctionSpec& live,
                                   const policy::PoolView& view);

  static async::Task<void> run(Fleet& fleet, ContainerPtr container);
  void note_launch(Container& container, const snapshot::SnapshotPtr& offered);
  async::Task<worker::LaunchPlan> plan_for(ContainerPtr container);
  // What a container's plan has of its function alone: image and environment.
  Result<void> outline(const model::FunctionSpec& spec, worker::LaunchPlan& plan) const;
  void note_published(const model::FunctionId& function);
  static async::Task<void> expect_loop(Fleet& fleet);
  static async::Task<void> wait_for_demand_to_end(Fleet& fleet);
  async::Task<void> ended(ContainerPtr container, Result<sandbox::ExitStatus> status);
  enum class StartFailure { may_pass, lasting };
  async::Task<void> start_ended_badly(std::shared_ptr<Pool> pool, ContainerPtr container,
                                      std::string message, StartFailure failure);
  bool is_known_to_fail(const Pool& pool) const;
  async::Task<void> tell_waiting(std::shared_ptr<Pool> pool, std::string payload);
  static async::Task<void> evaluate_loop(Fleet& fleet);
  static async::Task<void> tick_loop(Fleet& fleet);
  static async::Task<void> end_orphans(Fleet& fleet);
  static async::Task<void> orphan_loop(Fleet& fleet);
  bool is_stopped(const catalog::Function& function) const;
  static async::Task<void> snapshot_loop(Fleet& fleet);
  static async::Task<void> collect_loop(Fleet& fleet);
  static async::Task<void> wait_for_quiet(Fleet& fleet);
  static async::Task<void> take_snapshot(Fleet& fleet, ContainerPtr container);
  static async::Task<sandbox::Checkpoint> write_snapshot(Fleet& fleet, ContainerPtr container,
                                                         std::string images);
  async::Task<void> tick();
  bool is_over_its_window(const Container& container, Instant now);
  async::Task<void> enforce_deadlines(ContainerPtr container, Instant now);
  async::Task<void> end_if_cut_off(ContainerPtr container, Instant now);
  void remember(const Container& container, std::string end);

  FleetParts parts_;
  FleetOptions options_;
  Snapshots snapshots_;
  // Shared with tasks that wait in a pool while its function is stopped.
  std::unordered_map<model::FunctionId, std::shared_ptr<Pool>> pools_;
  std::unordered_map<model::ContainerId, ContainerPtr> containers_;
  std::deque<model::FunctionId> published_;  // lately
  async::Event publishing_;
  std::set<model::FunctionId> dirty_;
  async::Event dirtied_;
  std::vector<WantedStart> wanted_starts_;
  async::Event container_ended_;
  std::deque<ContainerView> finished_;
  FleetCounters counters_;
  StateTimes ended_times_;  // of containers that have ended
  bool shutting_down_ = false;
  Instant last_sweep_ = monotonic_now();
  std::optional<policy::MachineLoad> machine_load_;
  Instant machine_noted_{};
  // Functions that use, or want, a good part of a processor, and how much.
  std::unordered_map<model::FunctionId, double> busy_pools_;
  Freezer freezer_;
  Instant last_save_ = monotonic_now();
  async::TaskGroup loops_;
  async::TaskGroup container_tasks_;
};

}  // namespace thaw::control
