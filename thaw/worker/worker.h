// SPDX-License-Identifier: Apache-2.0
//
// Worker: starts containers. A container gets its layers, its environment, a private folder
// /run/thaw with the files of its plan and its own Unix socket or door (which is its identity), and
// its output goes to its app's log as it comes. An interface: control asks it for all that it does
// with containers and touches no process, file or cgroup itself; local_worker.h is this machine's.
// Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/model/ids.h"
#include "thaw/model/level.h"
#include "thaw/model/runner.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/fork_plan.h"
#include "thaw/worker/machine.h"
#include "thaw/worker/server_port.h"
#include "thaw/worker/snapshots.h"

namespace thaw::worker {

// Where a container finds its own things.
inline constexpr const char* container_folder = "/run/thaw";
inline constexpr const char* container_socket = "/run/thaw/api.sock";
// A pipe that the container's language runtime may tell of its start by (start_report.h).
inline constexpr const char* container_start_report = "/run/thaw-start";

struct InjectedFile {
  std::string name;  // in /run/thaw
  std::string bytes;
};

// A level that a launch tried in vain, or could not try.
struct Fallback {
  model::Level level;
  std::string reason;  // one of few, for counting: "no_template", "fork_failed", "restore_failed"…
  std::string detail;  // for the log
  // What it cost, and what it says of the level: a try of this start that took its time in vain or
  // failed; or one of before that failed.
  enum class Tried { no, in_vain, failed, failed_before } tried = Tried::no;
};

struct LaunchPlan {
  model::ContainerId id;
  std::vector<std::string> layers;  // host folders, lowest first
  std::vector<sandbox::BindMount> binds;
  std::vector<InjectedFile> files;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;
  sandbox::Limits limits;
  sandbox::SandboxSpec::Network network = sandbox::SandboxSpec::Network::bridge;
  std::string log_stream;  // the app's id
  std::string function;
  bool wants_socket = true;
  std::string workspace;  // whose it is: what it makes this server hold counts to it
  // Not 0: its program finds this server at 127.0.0.1 and this port of its own network, by
  // HTTP/1.1, and nobody else does. Only for programs that look there: others may use the port.
  std::uint16_t door_port = 0;
  std::optional<model::PushContract> push;  // its program is a server
  // All, if the program may have another user than the one that it is started as, by what its image
  // runs before it.
  InsideUsers users = InsideUsers::root;
  // What may be tried, in this order. A level that the plan has nothing for is passed over; one
  // that fails gives way to the next in the same launch, which fails with the last.
  std::vector<model::Level> levels = {model::Level::forked, model::Level::restored,
                                      model::Level::booted};
  // What it takes to be forked from a template; none: it cannot be.
  std::optional<ForkPlan> fork;
  // The function's program has a snapshot point, or is a server that is written once it is ready.
  std::optional<SnapshotPoint> snapshot_point;
  // The container is to be checkpointed there; what it writes is kept in the host folder `upper`.
  enum class Purpose { serve, snapshot } purpose = Purpose::serve;
  std::string upper;
  std::vector<std::string> snapshot_env;  // for that purpose, instead of those names in `env`
  snapshot::SnapshotPtr restore;          // what Level::restored restores …
  std::optional<Fallback> not_restored;   // … or why there is nothing
};

// What the container is working on, for the labels of its log lines.
struct CurrentWork {
  std::string call;
  std::string input;
};

// What a container and this server are telling each other at this moment: on the container's own
// socket and at its door; of a server, how many connections its network has to anybody else than
// itself.
struct Traffic {
  std::size_t connections = 0;  // that it has not closed
  std::size_t exchanges = 0;    // its requests that are not answered wholly
  enum class Wire { quiet, in_flight } wire = Wire::quiet;  // in flight: sent and not read yet
};

class RunningContainer {
 public:
  virtual ~RunningContainer() = default;
  // What it was started by.
  virtual model::Level level() const = 0;
  // Better levels of its plan that were tried before, in order.
  virtual const std::vector<Fallback>& fallbacks() const = 0;
  // When its sandbox had started its program.
  virtual Instant started() const = 0;
  // Of its own network, "172.21.0.7"; empty without one.
  virtual const std::string& address() const = 0;
  // Of its first process in the host's numbers, for people; control kills none by it.
  virtual int pid() const = 0;
  virtual Traffic traffic() const = 0;
  // It has a door, and connects anew whenever it has something to say: that it has no connection
  // says nothing, and one that is lost is no loss.
  virtual bool has_door() const { return false; }
  // Whether bytes wait at its door that it has not read. The kernel's tables of its network say so,
  // which takes milliseconds: to be asked last.
  virtual bool has_unread() const { return false; }
  // Its port, if its program is a server (LaunchPlan::push), as long as it lives; else nullptr.
  virtual ServerPort* server() = 0;
  // The lines that follow belong to this work (empty: to none in particular).
  virtual void label_output(CurrentWork work) = 0;
  // What the container wrote into its start file; zero if nothing sensible.
  virtual Instant interpreter_started() = 0;
  // Whether its program answers when it is restored.
  virtual bool is_restorable() = 0;

  // See sandbox::Sandbox for these.
  virtual bool has_ended() const = 0;
  virtual Result<void> signal(int number) = 0;
  virtual std::uint64_t memory_bytes() const = 0;
  virtual std::string root_writes() const = 0;
  virtual Duration processor_time() const = 0;
  virtual void note_survival() = 0;
  virtual Result<void> weigh(double weight) = 0;
  virtual async::Task<void> freeze() = 0;
  virtual Result<void> thaw() = 0;
  virtual async::Task<std::uint64_t> reclaim() = 0;
  virtual async::Task<sandbox::Checkpoint> checkpoint(std::string images,
                                                      std::uint64_t max_file_bytes) = 0;

  // Resumes when the tree has ended and all it printed is in the log.
  virtual async::Task<sandbox::ExitStatus> wait() = 0;
  // Removes socket, folder, sandbox. After wait(), or to kill.
  virtual async::Task<void> remove() = 0;
};

class Worker {
 public:
  virtual ~Worker() = default;

  virtual async::Task<std::unique_ptr<RunningContainer>> launch(LaunchPlan plan) = 0;
  // Such a container may be launched some time: what its start needs is made in the background.
  virtual void expect(const LaunchPlan& plan) = 0;
  // Many wait for such containers: whether what they could be forked from is on its way, so that a
  // moment's patience gives cheaper starts.
  virtual bool hasten(const ForkPlan& plan) = 0;
  // Processor time that all containers have used, those that have ended too.
  virtual Duration processor_time() const = 0;
  // Of the machine on which they run.
  virtual unsigned processor_count() const = 0;
  virtual Result<MachineProcessors> processors() const = 0;
  virtual MachineMemory memory() const = 0;
};

}  // namespace thaw::worker
