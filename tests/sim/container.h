// SPDX-License-Identifier: Apache-2.0
//
// A worker whose containers are simulated: each start takes its time or fails, each program asks
// the Fleet for inputs and does what they say, or is a server that is asked for them at its port;
// is frozen and thawed, dies of signals, of itself and of nothing, loses its connection and finds
// it again. What it does is told to the Judge.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/dice.h"
#include "tests/sim/judge.h"
#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/control/fleet.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/worker/worker.h"

namespace thaw::sim {

// In per cent, of what it can happen to.
struct ContainerFaults {
  int start_fails = 0;      // the worker cannot start it
  int never_ready = 0;      // its program hangs before its first poll
  int dies_at_start = 0;    // its program ends before its first poll
  int connection_lost = 0;  // of a poll, which is made again
  int cut_off = 0;          // its program closes its connection while it works
  int dies = 0;             // between two polls
  int deaf = 0;             // to SIGINT
  int freeze_fails = 0;
  int hangs_at_end = 0;  // when it is told to stop
  int unwell = 0;        // a server whose health is asked for
  // --- memory snapshots ---
  int misses_point = 0;         // its program takes no notice of its snapshot point
  int holds_connection = 0;     // and cannot be written for it
  int checkpoint_fails = 0;     // it holds what cannot be written, and runs on
  int disk_full = 0;            // while it is written
  int broken = 0;               // what was written is no good, each time
  int restore_fails = 0;        // for once
  int restore_is_hindered = 0;  // the machine cannot do it now
  int restore_is_slow = 0;
};

class SimWorker;

enum class Program { pulls, serves };

// Where a server is told that it was restored, if its contract says so.
inline constexpr const char* restored_path = "/restored";

// What the files of a snapshot tell of it.
struct Written {
  std::string id;
  std::string owner;  // the target and the version that was written
  enum class Flaw { none, does_not_restore, dies, hangs } flaw = Flaw::none;
};

// How a container comes to be there.
struct Origin {
  Instant ordered{};  // when its start began
  Program program = Program::pulls;
  std::string owner;             // its target and version
  bool is_for_snapshot = false;  // its program stops at its snapshot point
  bool is_metered = true;        // nobody pays for what is in the background
  bool is_trial = false;
  model::Level level = model::Level::booted;
  std::vector<worker::Fallback> fallbacks;
  snapshot::SnapshotPtr restored_from;
  std::string images;  // where it is written to
  Written written;     // what that says
};

class SimContainer final : public worker::RunningContainer, private worker::ServerPort {
 public:
  SimContainer(SimWorker& worker, model::ContainerId id, Origin origin);
  ~SimContainer() override;

  model::Level level() const override { return origin_.level; }
  const std::vector<worker::Fallback>& fallbacks() const override { return origin_.fallbacks; }
  Instant started() const override { return started_; }
  const std::string& address() const override { return address_; }
  int pid() const override { return 1; }
  worker::Traffic traffic() const override;
  worker::ServerPort* server() override {
    return origin_.program == Program::serves ? static_cast<worker::ServerPort*>(this) : nullptr;
  }
  void label_output(worker::CurrentWork) override {}
  Instant interpreter_started() override { return started_; }
  bool is_restorable() override { return origin_.is_for_snapshot; }
  bool has_ended() const override { return has_ended_; }
  Result<void> signal(int number) override;
  std::uint64_t memory_bytes() const override { return 48u << 20; }
  Duration processor_time() const override { return used_; }
  void note_survival() override {}
  Result<void> weigh(double) override { return ok(); }
  async::Task<void> freeze() override;
  Result<void> thaw() override;
  async::Task<std::uint64_t> reclaim() override { co_return 0; }
  Result<bool> has_listener(std::uint16_t) const override {
    return origin_.program == Program::serves;
  }
  // Nobody is a guest in what is simulated.
  async::Task<std::unique_ptr<sandbox::Process>> run(sandbox::ProcessSpec) override {
    co_return Error::failed_precondition("a simulated container runs no guests");
  }
  async::Task<sandbox::Checkpoint> checkpoint(std::uint64_t most) override;
  std::string root_writes() const override { return {}; }
  async::Task<worker::RootUse> measure_root() override { co_return worker::RootUse{}; }
  async::Task<std::string> find_open_file(std::vector<std::string>) override {
    co_return std::string();
  }
  async::Task<sandbox::ExitStatus> wait() override;
  async::Task<void> remove() override;

  bool is_frozen() const { return is_frozen_; }
  // Somebody on the machine kills it.
  void is_murdered();
  // The end of all of it, at once.
  void die(sandbox::ExitStatus status);

 private:
  // --- of a server ---
  async::Task<void> until_ready() override;
  std::string last_look() const override { return "it was looked at"; }
  async::Task<void> check_health() override;
  async::Task<codec::HttpResponseMessage> ask(codec::HttpRequestMessage request, std::size_t most,
                                              Instant deadline) override;
  void close_kept() override {}

  static async::Task<void> program(SimContainer& self);
  // Until it is written, or ends.
  async::Task<void> stays_at_its_point();
  // What the Fleet says of it.
  bool is_now(control::Status status) const;
  bool stands_by() const;
  bool is_restored() const { return origin_.level == model::Level::restored; }
  void proves_well();
  static async::Task<void> polls(SimContainer& self);
  static async::Task<void> hears_cancels(SimContainer& self);
  static async::Task<void> works(SimContainer& self, queue::LeasedInput input);
  // What it comes to; cancelled: it has died of it, or goes on unheard.
  async::Task<model::Outcome> carries_out(const queue::LeasedInput& input);
  // While it is frozen nothing of it goes on.
  async::Task<void> takes(Duration time);
  async::Task<void> finishes(queue::LeasedInput input, model::Outcome outcome);

  SimWorker& worker_;
  model::ContainerId id_;
  std::string address_ = "10.0.0.2";
  Origin origin_;
  Instant started_{};
  Duration used_{};
  bool was_told_of_restore_ = false;  // a server
  bool is_well_ = false;              // it has asked for work, or answered
  bool was_told_to_end_ = false;      // that it ends is no fault of what it was restored from
  bool was_late_ = false;             // and was killed for it
  Instant died_at_{};
  bool is_ready_ = false;  // a server
  bool is_frozen_ = false;
  std::uint64_t thaws_ = 0;
  std::size_t polls_open_ = 0;
  std::size_t calls_open_ = 0;
  bool is_cut_off_ = false;
  bool is_at_point_ = false;
  bool is_deaf_ = false;
  bool has_ended_ = false;
  sandbox::ExitStatus status_;
  std::map<model::InputId, bool> works_;  // and whether it was told to leave it
  async::Event changed_;
  bool is_counted_ = false;
  async::TaskGroup tasks_;
};

class SimWorker final : public worker::Worker {
 public:
  SimWorker(async::Loop& loop, Dice& dice, Judge& judge, ContainerFaults& faults)
      : loop(loop), dice(dice), judge(judge), faults(faults) {}

  async::Task<std::unique_ptr<worker::RunningContainer>> launch(worker::LaunchPlan plan) override;
  async::Task<std::string> identify(std::vector<std::string>) override { co_return std::string(); }
  void expect(const worker::LaunchPlan&) override {}
  bool hasten(const worker::ForkPlan&) override { return false; }
  Duration processor_time() const override { return {}; }
  unsigned processor_count() const override { return 4; }
  Result<worker::MachineProcessors> processors() const override {
    return Error::unavailable("a simulated machine has no counters");
  }
  worker::MachineMemory memory() const override { return {memory_bytes, available_bytes, 0}; }

  async::Loop& loop;
  Dice& dice;
  Judge& judge;
  ContainerFaults& faults;
  // One start from a snapshot; what it comes to. An Error: there is none, and the next level is
  // due.
  static async::Task<void> look_after_hindrance(SimWorker& self, snapshot::SnapshotPtr from);
  async::Task<Written> restore(const model::ContainerId& id, const std::string& owner,
                               snapshot::SnapshotPtr from);

  control::Fleet* fleet = nullptr;
  queue::CallQueue* queue = nullptr;
  snapshot::SnapshotStore* snapshots = nullptr;
  std::size_t most = 0;  // containers that may be there
  bool is_off = false;   // its server has been killed
  static constexpr std::uint64_t memory_bytes = std::uint64_t{8} << 30;
  std::uint64_t available_bytes = memory_bytes / 2;
  std::uint64_t drops = 0;          // of snapshots, by somebody
  std::uint64_t real_failures = 0;  // of restores
  Duration lived{};                 // all containers together, from the order to the end
  std::size_t started = 0;
  std::size_t written = 0;                      // snapshots, whole
  std::size_t restores = 0;                     // containers that were started from them
  std::map<std::string, SimContainer*> living;  // by id: an address is another in each run
  async::TaskGroup hindrances{loop};
};

}  // namespace thaw::sim
