// SPDX-License-Identifier: Apache-2.0
//
// Boxes: containers that clients hold. A box is made, runs its program, has other processes started
// in it, and ends: by its program, by somebody, at its time limit, when nothing has used it for its
// idle time, with its app, or with the server. It belongs to no pool and no policy starts or ends
// it. What is known of it is in the catalog before its maker hears of it; how it is started and
// what its processes have printed is here, for a while after its end too. Loop thread only.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/box_note.h"
#include "thaw/control/box_process.h"
#include "thaw/control/launch_outline.h"
#include "thaw/model/box.h"
#include "thaw/model/function.h"
#include "thaw/worker/output_journal.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

struct DiskUser;  // disk_watch.h

struct BoxLimits {
  std::size_t boxes = 200;                 // of all that live; a workspace has half of them
  std::size_t processes = 2'000;           // of all, that run; a workspace has half of them …
  std::size_t processes_of_box = 256;      // … and a box so many
  std::size_t snapshots = 100;             // of a box
  std::size_t kept_processes = 1'000;      // of a box, that have ended …
  std::size_t kept_of_workspace = 20'000;  // … and of all its workspace's boxes, shared evenly
  // For so long what a process that has ended printed waits for its reader whatever else is
  // printed; then as long as there is room.
  Duration reader_patience = std::chrono::minutes(1);
  Duration longest = std::chrono::hours(24 * 7);
  std::size_t kept_ended = 2'000;  // records of a workspace's boxes that have ended …
  Duration keep_ended = std::chrono::hours(24);  // … for so long
  std::size_t kept_boxes = 200;  // of a workspace, that have ended, with what they printed …
  Duration keep_output = std::chrono::minutes(10);  // of a box, after its end
  std::uint64_t default_memory_bytes = 0;           // of one that asks for none; 0: none
  OutputLimits output;
};

// By what a box is known to be ready: somebody listens at a port, or a program in it ends with 0.
struct ReadyProbe {
  std::uint16_t port = 0;         // 0: by the program
  std::vector<std::string> argv;  // looked at again until it does
  Duration pause = std::chrono::milliseconds(100);
};

// What a box is to be. Names of things are known to be its maker's.
struct BoxSpec {
  model::Box record;                   // id, container, owners, name, tags, image, limits of time
  std::vector<std::string> arguments;  // instead of its image's own; empty: those
  std::vector<EnvSource> environment;  // after that of its image
  std::string cwd;                     // empty: the image's
  std::optional<sandbox::TerminalSize> terminal;
  std::optional<ReadyProbe> probe;
  std::vector<worker::Bind> binds;
  std::vector<model::MountId> mounts;
  std::vector<model::VolumeMount> volumes;
  std::vector<BucketUse> buckets;  // a box that has any ends with its server
  model::Resources resources;
  model::NetworkAccess network = model::NetworkAccess::open;
  // Of an open one: the networks that it may begin to talk to; none: all.
  std::optional<std::vector<std::string>> reaches = std::nullopt;
};

// What is to be started in a box that runs.
struct GuestSpec {
  std::string id;  // its starter's own; one that is known is the same process
  std::vector<std::string> argv;
  std::vector<EnvSource> environment;  // after the box's own
  std::string cwd;                     // empty: the box's
  std::optional<sandbox::TerminalSize> terminal;
  Duration time_limit{};  // 0: none
  BoxProcess::Keeps keeps;
};

struct Box {
  model::Box record;
  BoxSpec spec;
  BoxProcessPtr main;
  std::map<std::string, BoxProcessPtr> processes;  // by their starters' ids
  std::list<std::string> order;                    // of those, in which they came
  // Of those: which run, or have left something behind that holds their streams open …
  std::vector<BoxProcessPtr> active;
  // … and which ended lately, with the time at which nobody is waited for who would read them.
  std::vector<std::pair<Instant, BoxProcessPtr>> fading;
  std::unique_ptr<worker::RunningContainer> running;
  std::vector<std::string> env;  // of its program
  std::string user;
  std::string cwd;
  Instant created{};
  Instant end_at = Instant::max();
  Instant last_use{};
  Instant ended{};
  model::BoxEnd wanted = model::BoxEnd::none;  // it is to end, so
  std::string why;
  bool is_stored = false;            // its end …
  async::TaskGroup::Handle storing;  // … which is tried again …
  Instant store_at{};                // … then
  WallTime ready_at{};               // zero: its probe has not said so yet
  // Of its root, by their askers' ids; nothing while it is made.
  std::map<std::string, std::optional<Result<std::string>>> snapshots;
  bool is_copied = false;      // one of them is made: it stands still
  bool is_kept = false;        // it does not end with this server
  std::uint64_t journals = 0;  // of its processes, that were made
  std::size_t visits = 0;      // of its ports, that go on
  async::Event changed;        // any of these

  bool has_started() const { return running != nullptr && main->has_started(); }
};
using BoxPtr = std::shared_ptr<Box>;

struct BoxesParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  worker::Worker& worker;
  image::Builder& images;
  LaunchOutline outline;
  // Where what processes print is put for the next server; without them boxes end with this one.
  worker::OutputJournals journals = worker::OutputJournals();
};

struct BoxCounters {
  std::uint64_t created = 0;
  std::uint64_t failed = 0;  // to start
  std::uint64_t processes = 0;
};

class Boxes {
 public:
  Boxes(BoxesParts parts, BoxLimits limits);

  // Tells those boxes their end whose server has gone, and begins to look after the others.
  void start();
  // Ends all of them.
  async::Task<void> shut_down();
  // Before start(): those that the last server has left go on. One of which something is damaged
  // ends, and its record says why.
  async::Task<void> take_over();
  // Instead of shut_down(): those that can go on without this server do. How many there are.
  async::Task<std::size_t> leave();

  // Ends when it is durable; it is started meanwhile. resource_exhausted naming the limit,
  // already_exists: its name, invalid_argument.
  async::Task<BoxPtr> create(BoxSpec spec);
  // How a record is to be read that runs and has no box here: its server is gone.
  model::Box ended_without_server(model::Box box) const;
  // One that lives, or ended a while ago; nullptr: the catalog may know of it.
  BoxPtr find(const model::BoxId& id) const;
  // Whose container that is; nullptr as above.
  BoxPtr find(const model::ContainerId& id) const;
  // Where its ports are. unavailable: it has not started yet; failed_precondition: it has no
  // network; not_found: it has ended, or is no box's.
  Result<std::string> address_of(const model::ContainerId& id) const;
  // Ends it; resumes when it has ended. One that has is as it is.
  async::Task<void> terminate(BoxPtr box, model::BoxEnd how, std::string why);
  // Until it has ended; false: `until` came first.
  async::Task<bool> wait_for_end(BoxPtr box, Instant until);
  // not_found: it has ended; its failure, if it could not be started.
  async::Task<void> wait_for_start(BoxPtr box, Instant until);
  // When its probe said that it is. failed_precondition: it has none; not_found: it has ended;
  // deadline_exceeded.
  async::Task<WallTime> wait_until_ready(BoxPtr box, Instant until);
  async::Task<void> set_tags(BoxPtr box, std::map<std::string, std::string> tags);

  // Waits for the box to run. not_found: it has ended; resource_exhausted naming the limit; and
  // what keeps the program from being run.
  async::Task<BoxProcessPtr> start_process(BoxPtr box, GuestSpec spec);
  // nullptr: there is none of that id.
  static BoxProcessPtr find_process(const Box& box, const std::string& id);

  // What the box has written into its root, as one more layer of its image: the key of the image
  // that this makes. The box stands still meanwhile. Who asks with an `id` that is known gets what
  // was made. not_found: it has ended; failed_precondition: it cannot be stopped for it.
  async::Task<std::string> snapshot(BoxPtr box, std::string id);

  std::vector<DiskUser> disk_users() const;
  // Nothing, if it is no box's.
  std::optional<async::Task<worker::RootUse>> measure_root(const model::ContainerId& id) const;
  bool end_for(const model::ContainerId& id, const std::string& why);
  std::vector<model::MountId> mounts_in_use() const;
  std::vector<BoxPtr> living() const;
  const BoxCounters& counters() const { return counters_; }

 private:
  static model::Box ended_with_server(model::Box box);
  // kept_boxes.cc
  async::Task<void> adopt(worker::KeptContainer kept);
  async::Task<BoxPtr> restore(model::Box record, worker::KeptContainer& kept);
  static async::Task<void> look_after(Boxes& self, BoxPtr box);
  async::Task<void> keep(BoxPtr box);
  // The note with which a process of a box is started; empty: it ends with this server.
  std::string prepare_to_keep(Box& box, BoxProcess& process, ProcessNote note) const;
  static void tell_of_end(const BoxPtr& box);
  void remove_journals(const Box& box) const;

  Result<void> admit(const BoxSpec& spec) const;
  Result<void> admit_process(Box& box) const;
  static async::Task<void> run(Boxes& self, BoxPtr box);
  async::Task<void> launch(BoxPtr box);
  async::Task<worker::LaunchPlan> plan_for(BoxPtr box);
  static async::Task<void> start_guest(Boxes& self, BoxPtr box, BoxProcessPtr process,
                                       GuestSpec spec);
  async::Task<void> begin_guest(BoxPtr box, BoxProcessPtr process, GuestSpec spec);
  static async::Task<void> probe(Boxes& self, BoxPtr box);
  async::Task<bool> is_ready(BoxPtr box, ReadyProbe probe);
  static async::Task<void> make_snapshot(Boxes& self, BoxPtr box, std::string id);
  async::Task<std::string> copy_root(BoxPtr box);
  async::Task<std::string> copy_root_now(BoxPtr box);
  async::Task<void> finish(BoxPtr box, Result<void> launched);
  static async::Task<void> store(Boxes& self, BoxPtr box);
  async::Task<void> settle_left_overs();
  async::Task<void> tick();
  void look_at(Box& box, Instant now);
  void ask_to_end(Box& box, model::BoxEnd how, std::string why);
  void forget_ended(Instant now);
  async::Task<void> forget_old();
  void sort_processes(Box& box, Instant now) const;
  void forget_processes(Box& box) const;
  std::size_t active_of(const model::WorkspaceId* workspace) const;

  BoxesParts parts_;
  BoxLimits limits_;
  BoxCounters counters_;
  std::shared_ptr<OutputShares> output_;
  std::unordered_map<model::BoxId, BoxPtr> boxes_;
  std::unordered_map<model::ContainerId, model::BoxId> by_container_;
  Instant last_forget_{};
  Instant last_settling_{};
  bool has_left_overs_ = true;  // records that run, of a server that is gone
  async::TaskGroup::Handle settling_;
  async::TaskGroup::Handle forgetting_;
  bool is_shutting_down_ = false;
  async::TaskGroup processes_;
  async::TaskGroup lives_;
  async::TaskGroup loops_;
};

}  // namespace thaw::control
