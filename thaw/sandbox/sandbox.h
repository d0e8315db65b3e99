// SPDX-License-Identifier: Apache-2.0
//
// A sandbox is one isolated process tree: pid, mount, net, uts, ipc and cgroup namespaces, an
// overlay root of read-only layers plus a private upper, cgroup limits, dropped capabilities,
// no_new_privs, a seccomp list, and our PID 1 that reaps. It never sees the host's files. The
// spawner is a small process of its own, this very program run anew; launching never forks the big
// server. When it is killed its sandboxes end, and the server starts the next one, which removes
// what they left. Everything a sandbox makes (mounts, cgroups, veth, folders) is named after the
// server's instance, so that the next start removes what a killed server left behind. One that is
// kept (keep()) outlives the server with the spawner, which the next server takes over.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/loop.h"
#include "thaw/async/task.h"
#include "thaw/model/ids.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/process.h"

namespace thaw::sandbox {

struct BindMount {
  std::string source;  // on the host: a file, folder or socket
  std::string target;  // absolute, inside; made if missing
  enum class Access { read_only, read_write } access = Access::read_only;
  // Only this folder below the source, which a user may have written: it is found through no link
  // and never outside. Empty: the source itself.
  std::string inside = {};
};

// A folder whose files a program outside serves (FUSE). Its file system belongs to the sandbox's
// own users: nobody else gets into it, the machine's root included, and id 0 is the sandbox's root.
struct ServedFolder {
  std::string target;  // absolute, inside; made if missing
  BindMount::Access access = BindMount::Access::read_only;
};

// The other side of one: who serves it reads requests from `device`. Whoever else keeps the device
// keeps those waiting who use the folder, when its server has gone. `mount` keeps the file system
// after the end of the sandbox, so that what was written can still be taken.
struct ServedMount {
  os::Fd device;
  os::Fd mount;
};

struct Limits {
  std::uint64_t memory_bytes = 0;  // 0: none. Past it the kernel kills inside; ExitStatus says so
  std::uint32_t cpu_millis = 0;    // 1000 = one core; 0: none
  std::uint32_t pids = 4096;
};

enum class Profile {
  function,   // user code: few capabilities, strict seccomp list
  build,      // image build steps: chown, setuid, mknod-free package installation
  templated,  // a template: only in its workspace's user namespace, it may enter namespaces
};

// What a checkpointed main program leaves to know beside its files.
struct Checkpoint {
  std::uint64_t stdout_pipe = 0;  // inode numbers of its output pipes: a restore gives it others
  std::uint64_t stderr_pipe = 0;
  // It listens for the signal by which it may be told of a restore; who checkpoints it knows.
  bool hears_restores = false;
};

struct RestoreFrom {
  std::string images;  // host folder that Sandbox::checkpoint() filled
  Checkpoint checkpoint;
  int signal = 0;  // that it gets as soon as it runs; 0: none
};

struct SandboxSpec {
  model::ContainerId id;
  std::vector<std::string> layers;  // host folders, lowest first; at least one
  // Host folder (made if missing) in which "upper" and "work" are made; "upper" holds what the
  // sandbox wrote (a build's new layer), and remove() takes "work" away again. Empty: a private
  // folder of the sandbox's own, removed with it.
  std::string upper;
  std::vector<BindMount> binds;
  // Who serves them gets their other sides from Sandbox::take_served(). Only of one that is booted.
  std::vector<ServedFolder> served = {};
  // argv[0] is looked up in PATH of `env` inside the root. Empty, where guests are possible: it has
  // no program of its own and stays until it is ended.
  std::vector<std::string> argv;
  // "NAME=value", complete: nothing is inherited. HOME is the user's if it is not given.
  std::vector<std::string> env;
  std::string cwd = "/";  // made if missing
  std::string hostname;
  std::string user;  // "", "name", "uid", "uid:gid" as in a Dockerfile; "" is root
  Limits limits;
  Profile profile = Profile::function;
  enum class Network { none, bridge, host } network = Network::bridge;  // host: build steps only
  // Of the bridge's network: where it may begin to talk to, "10.0.0.0/8" and "fd00::/8"; nothing
  // else is answered, name servers included. Whoever comes to it is. None: wherever the bridge
  // leads. Not for what is forked or restored.
  std::optional<std::vector<std::string>> reaches = std::nullopt;
  // `possible` lets checkpoint() be asked for: the program's process numbers are then high enough
  // not to be in the way of those that write and restore it.
  enum class Checkpoints { none, possible } checkpoints = Checkpoints::none;
  // `possible` lets run() be asked for: PID 1 listens, and keeps the powers to start others.
  enum class Guests { none, possible } guests = Guests::none;
  // The main program is restored instead of run; layers, binds and network are to be as they were
  // (its folder `upper` as an additional layer), argv and env are what it was started with.
  std::optional<RestoreFrom> restore;
  // Whose user namespace a template and all that is forked from it live in, and whose network
  // namespaces are made in.
  std::string workspace;
  // Not 0: at 127.0.0.1 and this port of its own network somebody listens before its program runs,
  // and who gets the connections has Sandbox::take_door(). Not with the host's network.
  std::uint16_t door_port = 0;
  // A running template of the same workspace: the program is not exec'd but forked from it. What
  // argv means is then the template's business; layers and binds are this sandbox's own.
  model::ContainerId fork_from;
};

struct ExitStatus {
  int code = 0;    // exit code, or 128 + signal
  int signal = 0;  // 0 when it exited by itself
  bool out_of_memory = false;
  bool ended_with_spawner = false;  // nothing that it did: what had started it was killed
  // PID 1 was killed, and the tree with it: nothing inside can do that, so it came from outside.
  bool killed_as_a_whole = false;
  std::uint64_t peak_memory_bytes = 0;
  std::uint64_t cpu_us = 0;
};

struct StartTimes {  // monotonic, for the stages of a cold start
  Instant requested{};
  Instant started{};  // just before the program's exec (sandbox ready, first instruction next)
};

// A running sandbox. Destroying it kills the tree; await remove() for a clean end.
class Sandbox {
 public:
  virtual ~Sandbox() = default;
  virtual const model::ContainerId& id() const = 0;
  virtual int pid() const = 0;                     // of PID 1, in the host's numbers
  virtual const std::string& address() const = 0;  // of eth0, "172.21.0.7"; empty without network
  virtual const StartTimes& times() const = 0;
  // The listening socket of `door_port`, once; it does not block. It keeps its network alive, so it
  // is closed before remove(). Invalid: there is none, or somebody has it.
  virtual os::Fd take_door() { return {}; }
  // The other sides of the folders that are served, in their order, once.
  virtual std::vector<ServedMount> take_served() { return {}; }
  // Next piece of what the tree prints; nullopt at the end of that stream. Each is to be read by
  // one task until its end.
  virtual async::Task<std::optional<std::string>> read_stdout() = 0;
  virtual async::Task<std::optional<std::string>> read_stderr() = 0;
  // Resumes when the main program (not only PID 1) has ended; all processes of the tree are dead
  // then. May be awaited by several tasks and again later.
  virtual async::Task<ExitStatus> wait() = 0;
  // Whether all of it has ended; never mistaken by another process that got its number.
  virtual bool has_ended() const = 0;
  // To the main program (SIGINT, SIGTERM …); SIGKILL ends the whole tree. A frozen tree is thawed.
  virtual Result<void> signal(int number) = 0;
  // Starts a process inside; ends when it has been exec'd. not_found, permission_denied, …: it
  // could not be; failed_precondition: there are no guests here; unavailable: the sandbox has
  // ended; deadline_exceeded: nothing was heard of it for half a minute.
  virtual async::Task<std::unique_ptr<Process>> run(ProcessSpec spec);
  // Stops the main program and its descendants for good and writes them into the empty host folder
  // `images`. failed_precondition says what they hold that cannot be written; they run on then.
  virtual async::Task<Checkpoint> checkpoint(std::string images, std::uint64_t max_file_bytes);
  // Stops every process of the tree; nothing inside can tell. Resumes when all have stopped. When
  // one cannot be stopped within a moment all run on: deadline_exceeded. A thaw() meanwhile wins:
  // cancelled. failed_precondition where the machine has no freezer.
  virtual async::Task<void> freeze() = 0;
  // Lets the tree run on. Takes 0.1 ms and waits for nothing; harmless on a tree that runs.
  virtual Result<void> thaw() = 0;
  // Moves memory of the frozen tree to swap (or zram) and drops what is in files anyway; by how
  // many bytes the tree got smaller.
  virtual async::Task<std::uint64_t> reclaim() = 0;
  virtual std::uint64_t memory_bytes() const = 0;  // of the cgroup, now
  // The host folder that holds what it wrote into its root; empty if nobody knows.
  virtual std::string root_writes() const { return {}; }
  // Processor time that the tree has used, since it was ordered.
  virtual Duration processor_time() const { return {}; }
  // Called now and then while it works: what the kernel killed inside for memory before the call
  // before this one has not ended it, so that only later kills make an end `out_of_memory`.
  virtual void note_survival() {}
  // Its part of the processors against other sandboxes, when there are too few; 1: the usual.
  virtual Result<void> weigh(double) { return ok(); }
  // From now on it does not end with this server: the spawner keeps it for the next one, with the
  // note, and ends it at `until` if there is none then. Only one with guests.
  virtual async::Task<void> keep(std::string note, Instant until);
  // Those of its processes that have notes. For who has taken it over.
  virtual async::Task<std::vector<KeptProcess>> kept_processes();
  // It is kept, and from here on somebody else's: this can do no more than be destroyed.
  virtual void leave() {}
  // Kills what is left, unmounts, removes cgroup, veth and private folders.
  virtual async::Task<void> remove() = 0;
};

// One that a server before this one has left.
struct KeptSandbox {
  std::unique_ptr<Sandbox> sandbox;
  std::string note;
  Instant until{};
};

// A sandbox whose program waits for requests to fork itself into other sandboxes. Its program ends
// with `sandbox().signal(SIGTERM)`; its PID 1, and what was forked, with the sandbox.
class Template {
 public:
  virtual ~Template() = default;
  virtual Sandbox& sandbox() = 0;
  // The next thing that its program says (a hostile one may say anything); nullopt once it ended.
  virtual async::Task<std::optional<std::string>> read_message() = 0;
  // From now until the next word: so many forks are made ahead, when there is time, with all done
  // that depends on no container; a start takes one. What is taken is made again at the next word.
  virtual void keep_spares(std::size_t count) = 0;
  // Those that wait for their order.
  virtual async::Task<std::size_t> count_spares() = 0;
};

struct SpawnerOptions {
  std::string instance;  // [a-z0-9]{1,12}: names every kernel object of this server
  std::string folder;    // DATA/sandboxes: private folders live here
  // "auto": the first free network of 172.21.0.0 to 172.31.255.255, the default first.
  std::string bridge_address = "172.21.0.1/16";
  enum class Networking { on, off } networking = Networking::on;
  std::string criu;  // the program of tools/criu; empty: no checkpoints
  // IPv4 networks, "100.100.0.0/16", that containers do not reach, besides those where clouds keep
  // the machine's own credentials; and those that they reach all the same.
  std::vector<std::string> refused_networks;
  std::vector<std::string> allowed_networks;
  // Each sandbox gets a range of user ids that nobody else on the machine has; `required`: or there
  // are no sandboxes. Where it is not to be, they are root of the machine with few powers.
  enum class OwnIds { where_possible, required, off } own_ids = OwnIds::where_possible;
  std::vector<std::string> shown_folders;  // of the host, from which layers and binds come
  // Whether sandboxes can outlive the server (Sandbox::keep).
  enum class Keeping { off, on } keeping = Keeping::off;
};

// A program that forks a spawner asks this first thing in main: whether it was run to be one. Then
// run_as_spawner() is its main.
bool is_to_be_spawner(int argc, char** argv);
int run_as_spawner();

// Whether the machine can do so, with `folder` as SpawnerOptions::folder. Needs root.
Result<void> check_own_ids(const std::string& folder);

class Spawner {
 public:
  // Starts the spawner process, which ends with this one. Call it from a thread that lasts as long
  // as this process. Removes what an earlier server with the same `folder` left behind; what cannot
  // be removed is logged, set aside (set_aside()) and never a reason not to start.
  // permission_denied (saying what is missing) when not root.
  static Result<std::unique_ptr<Spawner>> fork(SpawnerOptions options);
  virtual ~Spawner() = default;

  // Those of the instances that no living server of this machine has.
  static Result<std::vector<std::string>> dead_instances(std::vector<std::string> instances);
  // Left-overs in a spawner's folder that wait for their removal, or cannot be removed.
  static std::vector<std::string> set_aside(const std::string& folder);

  // After the loop exists; before start(). From now on a spawner that is killed is brought back.
  virtual Result<void> attach(async::Loop& loop, async::Pool& pool) = 0;
  // Makes bridge, NAT and cgroup roots. failed_precondition if the subnet is already routed.
  virtual async::Task<void> prepare() = 0;
  // Lets containers reach this TCP port on bridge_host(); no other port of the host is reachable.
  virtual async::Task<void> allow_port(std::uint16_t port) = 0;
  // Ends when the program has been exec'd. A program that cannot be run, a missing layer or user
  // is an Error, and nothing is left then.
  virtual async::Task<std::unique_ptr<Sandbox>> start(SandboxSpec spec) = 0;
  // Starts a template; `spec.profile` is templated, and `spec.argv` runs a program that forks
  // itself on request, in whatever language (detail/newcomer.h says how; the caller hands it down).
  virtual async::Task<std::unique_ptr<Template>> start_template(SandboxSpec spec);
  // Whether its process is one that has kept sandboxes for this server.
  virtual bool was_taken_over() const { return false; }
  // All that is kept. After prepare(), once.
  virtual async::Task<std::vector<KeptSandbox>> take_kept();
  // Removes bridge, nft rules, cgroup roots; restores ip_forward. All sandboxes must be gone.
  virtual async::Task<void> shut_down() = 0;
  // Instead of it: what is kept goes on without a server, and all else ends.
  virtual async::Task<void> leave() { return shut_down(); }
  // The bridge's own address, where containers reach signed blobs.
  virtual std::string bridge_host() const = 0;
  // How many times its process has ended without being asked to.
  virtual std::uint64_t deaths() const { return 0; }
  // That all its sandboxes have used, those that are gone too.
  virtual Duration processor_time() const { return {}; }
};

}  // namespace thaw::sandbox
