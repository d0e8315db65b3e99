// SPDX-License-Identifier: Apache-2.0
//
// Worker: starts containers. A container gets its layers, its environment, a private folder
// /run/thaw with the files of its plan and its own Unix socket or door (which is its identity), and
// its output goes to its app's log as it comes. An interface: control asks it for all that it does
// with containers and touches no process, file or cgroup itself; local_worker.h is this machine's.
// Loop thread only.
//
// It is a boundary of messages, so that a worker can be another machine: what goes in and comes out
// is plain values. LaunchPlan and ForkPlan have a form as bytes (launch_plan_codec.h) and name
// their sources (sources.h); RunningContainer is a handle by the container's id, whose answers are
// values. What is not a message yet, and why:
//   RunningContainer::address, and ServerPort with it: passages open connections to the container
//     themselves, because bytes of users pass through no copy; from afar they need a way to it.
//   has_ended, has_listener, traffic, memory_bytes, processor_time, is_restorable,
//   interpreter_started, level:
//     read at once, where a decision stands on this very moment; from afar they are the last
//     report.
//   signal, weigh, thaw: orders that are carried out when they return; from afar when they arrive.
//   sandbox::Process: its output and input are read and written as they come; from afar a stream.
//   root_writes: a folder of this machine, for the layer store beside it.
//   The staging folder and a snapshot's name: control keeps the snapshot store of this machine.
//   Logs go to the LogHub of this process, and RPCs to its net::Server, without asking control.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/launch_plan.h"
#include "thaw/worker/machine.h"
#include "thaw/worker/server_port.h"

namespace thaw::worker {

// Where a container finds its own things.
inline constexpr const char* container_folder = "/run/thaw";
inline constexpr const char* container_socket = "/run/thaw/api.sock";
// Below the worker's run folder and not the worker's: what control keeps there for the next server.
inline constexpr const char* kept_output_folder = "kept-output";
// A pipe that the container's language runtime may tell of its start by (start_report.h).
inline constexpr const char* container_start_report = "/run/thaw-start";

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

// On disk, of what a container wrote into its root.
struct RootUse {
  std::uint64_t bytes = 0;
  bool is_incomplete = false;  // parts are so deep, in so many places, that nobody looked
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
  virtual Duration processor_time() const = 0;
  virtual void note_survival() = 0;
  virtual Result<void> weigh(double weight) = 0;
  virtual async::Task<void> freeze() = 0;
  virtual Result<void> thaw() = 0;
  virtual async::Task<std::uint64_t> reclaim() = 0;
  // Whether somebody inside listens at this port. unavailable: it has ended.
  virtual Result<bool> has_listener(std::uint16_t port) const = 0;
  // A process inside, if its plan has guests.
  virtual async::Task<std::unique_ptr<sandbox::Process>> run(sandbox::ProcessSpec spec) = 0;
  // With those of its processes that have notes it outlives this server; the next one finds it by
  // Worker::take_kept().
  virtual async::Task<void> keep(std::string /*note*/, Instant /*until*/) {
    co_return Error::failed_precondition("this container ends with its server");
  }
  virtual async::Task<std::vector<sandbox::KeptProcess>> kept_processes() {
    co_return std::vector<sandbox::KeptProcess>();
  }
  virtual void leave() {}
  // Into the staging folder of its plan.
  virtual async::Task<sandbox::Checkpoint> checkpoint(std::uint64_t max_file_bytes) = 0;

  // The folder of this machine that holds what it wrote into its root, as overlayfs makes it; for
  // whoever makes a layer of it on the same machine. Empty: nobody knows.
  virtual std::string root_writes() const = 0;
  // What it wrote into its root takes so much disk now: a walk, in the background.
  virtual async::Task<RootUse> measure_root() = 0;
  // Says of one file or working folder below one of `folders`, as it sees them, that it is in use
  // and by which of its programs; empty if there is none.
  virtual async::Task<std::string> find_open_file(std::vector<std::string> folders) = 0;

  // Resumes when the tree has ended and all it printed is in the log.
  virtual async::Task<sandbox::ExitStatus> wait() = 0;
  // Removes socket, folder, sandbox. After wait(), or to kill.
  virtual async::Task<void> remove() = 0;
};

// One that a server before this one has left to it.
struct KeptContainer {
  model::ContainerId id;
  std::unique_ptr<RunningContainer> running;
  std::string note;
  Instant until{};
};

class Worker {
 public:
  virtual ~Worker() = default;

  // Before the first launch, once; what other containers of that server have left goes.
  virtual async::Task<std::vector<KeptContainer>> take_kept() {
    co_return std::vector<KeptContainer>();
  }

  // not_found, invalid_argument: it has not got what the plan names.
  virtual async::Task<std::unique_ptr<RunningContainer>> launch(LaunchPlan plan) = 0;
  // Which folders these sources are on its machine: another text when one was made anew.
  virtual async::Task<std::string> identify(std::vector<std::string> sources) = 0;
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
