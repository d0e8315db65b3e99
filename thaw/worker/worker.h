// SPDX-License-Identifier: Apache-2.0
//
// Worker: starts containers on this machine. A container gets its layers, its environment, a
// private folder /run/thaw with the files of its plan and its own Unix socket (which is its
// identity), and its output goes to its app's log as it comes. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/logs/log_hub.h"
#include "thaw/model/ids.h"
#include "thaw/model/level.h"
#include "thaw/net/server.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/fork_plan.h"
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
  // All, if the program may have another user than the one that it is started as, by what its image
  // runs before it.
  InsideUsers users = InsideUsers::root;
  // What may be tried, in this order; booted comes last in any case. A level that the plan has
  // nothing for is passed over; one that fails gives way to the next in the same launch.
  std::vector<model::Level> levels = {model::Level::forked, model::Level::restored,
                                      model::Level::booted};
  // What it takes to be forked from a template; none: it cannot be.
  std::optional<ForkPlan> fork;
  // The function's program has a snapshot point.
  std::optional<SnapshotPoint> snapshot_point;
  // The container is to be checkpointed there; what it writes is kept in the host folder `upper`.
  enum class Purpose { serve, snapshot } purpose = Purpose::serve;
  std::string upper;
  std::vector<std::string> snapshot_env;  // for that purpose, besides `env`
  snapshot::SnapshotPtr restore;          // what Level::restored restores …
  std::optional<Fallback> not_restored;   // … or why there is nothing
};

// What the container is working on, for the labels of its log lines.
struct CurrentWork {
  std::string call;
  std::string input;
};

// What a container and this server are telling each other at this moment.
struct Traffic {
  std::size_t connections = 0;  // that it has not closed
  std::size_t exchanges = 0;    // its requests that are not answered wholly
  enum class Wire { quiet, in_flight } wire = Wire::quiet;  // in flight: sent and not read yet
};

class RunningContainer {
 public:
  virtual ~RunningContainer() = default;
  virtual sandbox::Sandbox& sandbox() = 0;
  // What it was started by.
  virtual model::Level level() const = 0;
  // Better levels of its plan that were tried before, in order.
  virtual const std::vector<Fallback>& fallbacks() const = 0;
  // On the container's own socket.
  virtual Traffic traffic() const = 0;
  // The lines that follow belong to this work (empty: to none in particular).
  virtual void label_output(CurrentWork work) = 0;
  // What the container wrote into its start file; zero if nothing sensible.
  virtual Instant interpreter_started() = 0;
  // Whether its program answers when it is restored.
  virtual bool is_restorable() = 0;
  // Resumes when the tree has ended and all it printed is in the log.
  virtual async::Task<sandbox::ExitStatus> wait() = 0;
  // Removes socket, folder, sandbox. After wait(), or to kill.
  virtual async::Task<void> remove() = 0;
};

class LocalContainer;
class Templates;

class Worker {
 public:
  // `run_folder` is short (a socket's path has at most 107 letters), such as /run/thaw/ab12.
  Worker(async::Loop& loop, async::Pool& pool, sandbox::Spawner& spawner, net::Server& server,
         logs::LogHub& logs, Templates& templates, std::string run_folder);

  async::Task<std::unique_ptr<RunningContainer>> launch(LaunchPlan plan);
  // Such a container may be launched some time: what its start needs is made in the background.
  void expect(const LaunchPlan& plan);
  // Many wait for such containers: whether what they could be forked from is on its way, so that a
  // moment's patience gives cheaper starts.
  bool hasten(const ForkPlan& plan);
  // Processor time that all containers have used, those that have ended too.
  Duration processor_time() const { return spawner_.processor_time(); }

 private:
  async::Task<void> fork(LocalContainer& container, const LaunchPlan& plan,
                         sandbox::SandboxSpec spec);
  async::Task<void> restore(LocalContainer& container, const LaunchPlan& plan,
                            sandbox::SandboxSpec spec);
  async::Loop& loop_;
  async::Pool& pool_;
  sandbox::Spawner& spawner_;
  net::Server& server_;
  logs::LogHub& logs_;
  Templates& templates_;
  std::string run_folder_;
};

}  // namespace thaw::worker
