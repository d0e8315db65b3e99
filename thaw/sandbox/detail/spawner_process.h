// SPDX-License-Identifier: Apache-2.0
//
// The small single-threaded process beside the server. It owns every privileged object (namespaces,
// cgroups, bridge, private folders), obeys the requests of wire.h one by one, and when its server
// ends without saying so it removes everything and ends too, but for what it was told to keep
// (keeper.h).
#pragma once

#include <poll.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/os/cgroup.h"
#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/criu.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/detail/keeper.h"
#include "thaw/sandbox/detail/network.h"
#include "thaw/sandbox/detail/root_folder.h"
#include "thaw/sandbox/detail/slot_builder.h"
#include "thaw/sandbox/detail/spawner_launch.h"
#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/detail/wire.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

// Whether it lives in the user namespace of its workspace: a template, or a fork of one.
bool is_workspaces(const SandboxSpec& spec);

// The reply to a request, if somebody waits for one.
void answer(const os::Fd& reply, const Result<void>& result);

class SpawnerProcess {
 public:
  SpawnerProcess(SpawnerOptions options, os::CgroupLayout layout, os::Fd control, int server);
  // Keeps the locks until everything that they guard is gone. Who shows `key` may take over what it
  // keeps.
  void hold(os::Fd lock, os::Fd membership, std::string key);
  // Until the server ends or says shut_down; returns the exit code.
  int run(Succession succession);

 private:
  // In which a template, a stranger, has to fork.
  static constexpr Duration fork_patience = 15s;

  struct Tree {   // one sandbox
    int pid = 0;  // 0: PID 1 has ended, or never was
    os::Fd pidfd;
    os::Cgroup cgroup;
    std::string share;  // the cgroup of its workspace, in which that one stands
    RootFolders folders;
    Limits limits;
    bool has_own_upper = false;  // the caller's folder, to be tidied and kept
    std::uint32_t slot = 0;      // in the network; 0: none
    IdRange range;               // its ids
    bool is_range_own = false;   // to be given back, when it is not its workspace's
    std::string link;
    // Of a template, and of what is forked from one (slot_builder.h).
    bool is_slot = false;
    int builder = 0;  // child that builds it
    Instant build_until = Instant::max();
    os::Fd births;  // from the builder; ends when PID 1 is about to end
    os::Fd report;  // until PID 1 is born
    std::string address;
    os::Fd pid_namespace;  // a template's, and the way to it
    os::Fd control;
    std::string fork_from;
    std::string workspace;
    Instant kill_template_at = Instant::max();  // it must let a dead fork go
    // Forked ahead of its need, under a name of its own.
    enum class Spare { no, in_the_making, ready } spare = Spare::no;
    os::Fd orders;                // to its builder
    std::vector<os::Fd> waiting;  // pidfds of the builder's child and of the fork
    bool is_removing = false;
    int janitor = 0;  // child that removes what is left
    int janitors_killed = 0;
    std::vector<os::Fd> removal_replies;
    struct Kept {  // for the next server
      KeptFacts facts;
      os::Fd report;  // the server's end
      os::Fd note;
    };
    std::optional<Kept> kept;
  };

  bool has_server_gone() const;
  void begin_listening();
  void keep(Reader& reader, std::vector<os::Fd> fds);
  void tell_next_kept(const std::string& before, const os::Fd& reply);
  void lose_server();
  void look_after_kept();
  bool is_settling() const;
  void meet_server();
  Result<void> check_server(std::uint64_t version, Reader& reader, std::size_t descriptors) const;
  void hear_signals();
  void serve(os::Message message);
  void prepare(const os::Fd& reply);
  void start(os::Message message);
  struct SharedUsers {  // of a workspace's templates and forks
    std::string name;   // of no other user namespace
    os::Fd user_namespace;
    IdRange range;
  };
  struct Namespaces {
    os::Fd user, network;  // network: if any
  };
  // Whether sandboxes have ids of their own, found out and told.
  Result<void> decide_ids();
  bool has_own_ids() const { return ranges_.has_value(); }
  // Of that workspace, made when it is first asked for.
  Result<void> make_share(const std::string& name) const;
  Result<const SharedUsers*> users_of(const std::string& workspace);
  Result<Namespaces> take_namespaces(Tree& tree, const SandboxSpec& spec);
  // To be written in its network before anything runs there; empty: it reaches all.
  std::string reach_rules_of(const SandboxSpec& spec) const;
  // Namespaces, cgroup, folders.
  Result<Namespaces> prepare_tree(Tree& tree, const SandboxSpec& spec);
  Result<void> launch(Tree& tree, SandboxSpec spec, os::Message& message);
  void checkpoint(Reader& reader, os::Fd reply);
  Result<void> launch_slot(Tree& tree, SandboxSpec spec, os::Message& message);
  // `message` brings what a spare gets with its order.
  Result<void> start_builder(Tree& tree, SandboxSpec spec, SlotPlan plan, os::Message* message);
  Result<void> born(Tree& tree);
  static Result<void> tell_launched(const os::Fd& report, const Tree& tree);
  // Makes what is missing when there is time; removes what is too many.
  void keep_spares(const std::string& template_id, std::size_t count);
  std::size_t ready_spares(const std::string& template_id) const;
  void make_spares();
  void hurry(Tree& tree) const;
  bool take_spare(const SandboxSpec& spec, os::Message& message);
  void heard_of_spare(const std::string& id, Tree& tree);
  void tree_ended(const std::string& id, Tree& tree);
  void watch_slots(const std::vector<pollfd>& watched);
  void enforce_patience();
  void remove(const std::string& id, os::Fd reply);
  void begin_removal(const std::string& id, Tree& tree);
  // In a child whose work may take long: nothing of the spawner's is kept open by it.
  static void become_janitor();
  void remove_what_is_aside();
  Result<void> end_all();
  void wait_for_children();
  void remove_folders();
  void shut_down(const os::Fd& reply);
  void reap();
  void end_removal(const std::string& id, const Result<void>& removed);
  void end_of_server();

  SpawnerOptions options_;
  os::CgroupLayout layout_;
  os::Fd control_;
  int server_;  // 0: there is none now
  os::Fd server_pidfd_;
  int lost_server_ = 0;
  os::Fd keeper_;  // the next one comes here
  std::string key_;
  std::string prepared_;  // what the first server was told then
  int niceness_ = 0;      // the server's
  os::Fd self_;           // pidfd, for the sandboxes
  os::Fd idle_event_;     // for perf, never read
  os::Fd lock_;           // of the folder
  os::Fd membership_;
  os::Fd signals_;  // SIGCHLD and SIGTERM
  Criu criu_;
  Network network_;
  std::map<Profile, SystemCallFilter> filters_;
  std::optional<IdRanges> ranges_;  // none: ids are the machine's
  IdRanges::OwnBlocks last_ones_ids_ = IdRanges::OwnBlocks::free;
  std::map<std::string, SharedUsers> shared_users_;  // by workspace; "" is nobody's
  std::uint64_t users_made_ = 0;
  std::map<std::string, Tree> trees_;
  std::map<std::string, std::size_t> missing_spares_;  // by template
  std::uint64_t spares_made_ = 0;
  int aside_janitor_ = 0;  // child that removes what is set aside
  Instant last_start_{};
  // It takes the place of a killed one and is not ready: if it fails the server tries another one.
  bool is_followed_ = false;
  std::size_t first_slot_ = 0;  // of what is watched, those of trees begin here
  bool is_running_ = true;
};

}  // namespace thaw::sandbox::detail
