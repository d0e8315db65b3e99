// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/spawner_process.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/checkpoint.h"
#include "thaw/sandbox/detail/first_process.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/leftovers.h"
#include "thaw/sandbox/detail/nft.h"
#include "thaw/sandbox/detail/slot_builder.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

// In which most starts are done: the process does not hear of the end of each.
constexpr Duration start_time = 60ms;

// While somebody holds one, the kernel need not switch its machinery for them on, which takes it
// more than 10 ms: what restores a program uses them. Without one it only takes longer.
os::Fd open_idle_event() {
  perf_event_attr event{};
  event.type = PERF_TYPE_SOFTWARE;
  event.size = sizeof event;
  event.config = PERF_COUNT_SW_DUMMY;
  event.disabled = 1;
  return os::Fd(
      static_cast<int>(::syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
}

// The kernel numbers no more processes than that, on the whole machine; a quarter is the host's.
std::uint32_t processes_of_all() {
  std::uint32_t most = 4'194'304;
  for (const char* file : {"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"}) {
    const auto text = os::read_text(file);
    const auto number =
        text ? static_cast<std::uint32_t>(std::strtoul(text->c_str(), nullptr, 10)) : 0;
    most = number > 0 ? std::min(most, number) : most;
  }
  return most / 4 * 3;
}

}  // namespace

void answer(const os::Fd& reply, const Result<void>& result) {
  if (!reply.valid()) {
    return;
  }
  // A server that no longer listens is told nothing.
  (void)os::send_message(reply.get(),
                         result ? Writer(Kind::done).bytes() : encode_failure(result.error()));
}

SpawnerProcess::SpawnerProcess(SpawnerOptions options, os::CgroupLayout layout, os::Fd control,
                               int server)
    : options_(std::move(options)),
      layout_(std::move(layout)),
      control_(std::move(control)),
      server_(server),
      network_(options_) {}

void SpawnerProcess::hold(os::Fd lock, os::Fd membership, std::string key) {
  key_ = std::move(key);
  lock_ = std::move(lock);
  membership_ = std::move(membership);
}

int SpawnerProcess::run(Succession succession) {
  os::forget_arguments("thaw-spawner");
  ::setsid();  // a Ctrl-C in the server's terminal is for the server
  // The end of the control socket tells of the server's end; this is for a server whose
  // descriptors somebody else still holds.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // Nobody who shares its uid looks into it or, before they have dropped their powers, its forks;
  // and what is born through a short-lived child of it is its own.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  signals_ = os::Fd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  self_ = os::Fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  // A start is what somebody waits for: it goes before the work that is already running.
  niceness_ = ::getpriority(PRIO_PROCESS, 0);
  ::setpriority(PRIO_PROCESS, 0, -10);
  const rlimit many{65536, 65536};
  ::setrlimit(RLIMIT_NOFILE, &many);
  server_pidfd_ = os::Fd(static_cast<int>(::syscall(SYS_pidfd_open, server_, 0)));
  if (::getppid() != server_ || !server_pidfd_.valid()) {
    return 0;
  }
  if (succession == Succession::next) {
    is_followed_ = true;
    if (auto removed = remove_objects(options_.instance, layout_); !removed) {
      last_ones_ids_ = IdRanges::OwnBlocks::in_use;
      log_warning("something of the last spawner stays until the next start",
                  {{"error", removed.error().to_string()}});
    }
  }
  idle_event_ = open_idle_event();
  set_all_aside(options_.folder);
  remove_what_is_aside();
  begin_listening();
  while (is_running_) {
    std::vector<pollfd> watched = {{control_.get(), POLLIN, 0},
                                   {signals_.get(), POLLIN, 0},
                                   {network_.maker_socket(), POLLIN, 0},
                                   {is_settling() ? -1 : keeper_.get(), POLLIN, 0},
                                   // No signal tells of the end of one that took this over.
                                   {server_pidfd_.get(), POLLIN, 0}};
    first_slot_ = watched.size();
    bool is_held = server_ == 0;
    for (const auto& [id, tree] : trees_) {
      if (tree.births.valid()) {
        watched.push_back({tree.births.get(), POLLIN, 0});
      }
      if (tree.spare == Tree::Spare::in_the_making) {
        watched.push_back({tree.orders.get(), POLLIN, 0});
      }
      if (tree.is_slot && tree.pid != 0) {
        watched.push_back({tree.pidfd.get(), POLLIN, 0});
      }
      is_held |= tree.kill_template_at != Instant::max() || tree.builder != 0;
    }
    // Networks are made while nothing starts: both need the same locks of the kernel.
    const int idle_ms = 5, held_ms = 200;
    const bool starts = monotonic_now() < last_start_ + start_time;
    const bool has_idle_work =
        network_.is_short() || !missing_spares_.empty() || (network_.wants_filling() && !starts);
    const int ready = ::poll(watched.data(), watched.size(),
                             has_idle_work                         ? idle_ms
                             : is_held || network_.wants_filling() ? held_ms
                                                                   : -1);
    if (ready == 0) {
      if (network_.is_short() || !starts) {
        network_.fill();
      }
      make_spares();
    }
    if (is_held) {
      enforce_patience();
      look_after_kept();
    }
    if (ready < 0 && errno != EINTR) {
      ::usleep(2'000);  // short of memory, or of descriptors that it may have
      if (has_server_gone()) {
        lose_server();
      }
    }
    if (ready <= 0 || !is_running_) {
      continue;
    }
    if (watched[2].revents != 0) {
      network_.collect();
    }
    watch_slots(watched);
    if (watched[1].revents != 0) {
      hear_signals();
    }
    // What the last one said before its end is heard first.
    if (is_running_ && watched[0].revents != 0 && control_.valid()) {
      os::Message message;
      const auto received = os::receive_message(control_.get(), message);
      if (received && *received == os::Transfer::done) {
        serve(std::move(message));
      } else if (!received && received.error().code() == Code::unavailable) {
        // Who asked sees the end of its socket.
        log_warning("a request was lost", {{"error", received.error().to_string()}});
      } else if (!received || *received == os::Transfer::end) {
        lose_server();
      }
    } else if (is_running_ && watched[3].revents != 0) {
      meet_server();
    } else if (is_running_ && has_server_gone()) {
      lose_server();  // somebody else has its end of the line
    }
  }
  return 0;
}

void SpawnerProcess::hear_signals() {
  signalfd_siginfo seen;
  bool is_to_end = false;
  while (::read(signals_.get(), &seen, sizeof seen) > 0) {
    // A server's own end is told by one too, maybe late.
    const auto from = static_cast<int>(seen.ssi_pid);
    is_to_end |= seen.ssi_signo == SIGTERM && server_ == 0 && from != lost_server_;
  }
  reap();
  if (is_to_end) {
    end_of_server();
    is_running_ = false;
  }
}

void SpawnerProcess::serve(os::Message message) {
  Reader reader(message.bytes);
  const Kind kind = reader.kind();
  if (kind == Kind::start) {
    start(std::move(message));
    return;
  }
  if (kind == Kind::keep) {
    keep(reader, std::move(message.fds));
    return;
  }
  os::Fd reply;
  if (!message.fds.empty()) {
    reply = std::move(message.fds.front());
  }
  switch (kind) {
    case Kind::prepare: prepare(reply); break;
    case Kind::allow_port:
      answer(reply, network_.allow_port(static_cast<std::uint16_t>(reader.number())));
      break;
    case Kind::checkpoint: checkpoint(reader, std::move(reply)); break;
    case Kind::remove: remove(reader.text(), std::move(reply)); break;
    case Kind::keep_spares: {
      const std::string id = reader.text();
      keep_spares(id, reader.number());
      break;
    }
    case Kind::count_spares:
      (void)os::send_message(reply.get(),
                             Writer(Kind::done).number(ready_spares(reader.text())).bytes());
      break;
    case Kind::next_kept: tell_next_kept(reader.text(), reply); break;
    case Kind::shut_down: shut_down(reply); break;
    default: answer(reply, Error::internal("an unknown request to the spawner"));
  }
}

void SpawnerProcess::prepare(const os::Fd& reply) {
  if (!prepared_.empty()) {  // the last server has asked for it
    (void)os::send_message(reply.get(), prepared_);
    return;
  }
  auto prepared = [&]() -> Result<std::string> {
    THAW_TRY_VOID(decide_ids());
    for (const Profile profile : {Profile::function, Profile::build, Profile::templated}) {
      THAW_TRY(filters_[profile], make_filter(profile, has_own_ids() ? Ids::own : Ids::of_machine));
    }
    const os::Cgroup parent(layout_, cgroup_name(options_.instance));
    THAW_TRY_VOID(parent.make(os::Cgroup::Role::parent));
    THAW_TRY_VOID(parent.limit({.pids = processes_of_all()}));
    if (layout_.version == os::CgroupLayout::Version::v1) {
      THAW_TRY(const os::Fd lock, lock_machine());
      favor_moving_between_cgroups();
    }
    if (!options_.criu.empty()) {
      THAW_TRY(criu_, open_criu(options_.criu));
    }
    return network_.prepare();
  }();
  if (!prepared) {
    answer(reply, std::move(prepared).error());
    return;
  }
  is_followed_ = false;
  prepared_ = Writer(Kind::done).text(*prepared).text(network_.subnet_text()).bytes();
  (void)os::send_message(reply.get(), prepared_);
}

void SpawnerProcess::start(os::Message message) {
  if (message.fds.size() != 4 && message.fds.size() != 6) {
    return;
  }
  last_start_ = monotonic_now();
  const int report = message.fds[0].get();
  const auto launched = [&]() -> Result<void> {
    THAW_TRY(const std::string bytes, os::read_memory_file(message.fds[1]));
    THAW_TRY(SandboxSpec spec, decode(bytes));
    if (filters_.empty()) {
      return Error::failed_precondition("prepare the spawner before the first start");
    }
    const std::string id = spec.id.str();
    if (trees_.contains(id)) {
      return Error::already_exists("there is a sandbox of this name").with("id", id);
    }
    if (take_spare(spec, message)) {
      return ok();
    }
    Tree& tree = trees_[id];
    auto result = has_own_ids() || is_workspaces(spec) ? launch_slot(tree, std::move(spec), message)
                                                       : launch(tree, std::move(spec), message);
    if (!result) {
      remove(id, os::Fd());
    }
    return result;
  }();
  if (!launched) {
    (void)os::send_message(report, encode_failure(launched.error()));
  }
}

// The group of a workspace's sandboxes: what they have together is bounded too.
Result<void> SpawnerProcess::make_share(const std::string& name) const {
  if (std::all_of(layout_.hierarchies.begin(), layout_.hierarchies.end(),
                  [&](const auto& hierarchy) { return os::exists(hierarchy + "/" + name); })) {
    return ok();
  }
  const os::Cgroup share(layout_, name);
  THAW_TRY_VOID(share.make(os::Cgroup::Role::parent));
  return share.limit({.pids = processes_of_all() / 2});
}

Result<SpawnerProcess::Namespaces> SpawnerProcess::prepare_tree(Tree& tree,
                                                                const SandboxSpec& spec) {
  const std::string id = spec.id.str();
  if (spec.restore && !criu_.program.valid()) {
    return Error::failed_precondition("there is no program that restores; see `thaw doctor`");
  }
  tree.share = cgroup_name(options_.instance, spec.workspace);
  THAW_TRY_VOID(make_share(tree.share));
  tree.cgroup = os::Cgroup(layout_, cgroup_name(options_.instance, spec.workspace, id));
  tree.folders.folder = options_.folder + "/" + id;
  tree.has_own_upper = !spec.upper.empty();
  tree.limits = spec.limits;
  THAW_TRY(Namespaces namespaces, take_namespaces(tree, spec));
  THAW_TRY_VOID(tree.cgroup.make(os::Cgroup::Role::leaf));
  THAW_TRY_VOID(
      tree.cgroup.limit({spec.limits.memory_bytes, spec.limits.cpu_millis, spec.limits.pids}));
  THAW_TRY(tree.folders, make_root_folders(tree.folders.folder, spec, tree.address));
  return namespaces;
}

Result<void> SpawnerProcess::launch(Tree& tree, SandboxSpec spec, os::Message& message) {
  THAW_TRY(Namespaces namespaces, prepare_tree(tree, spec));
  if (const std::string rules = reach_rules_of(spec); !rules.empty()) {
    THAW_TRY_VOID(run_nft(rules, namespaces.network));
  }
  if (spec.restore) {
    learn_facts(criu_);
  }
  THAW_TRY(const os::Fd birthplace, tree.cgroup.open_for_clone());
  os::CloneOptions options;
  options.namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;
  if (spec.network == SandboxSpec::Network::none) {
    options.namespaces |= CLONE_NEWNET;
  }
  options.cgroup = birthplace.valid() ? birthplace.get() : -1;
  THAW_TRY(os::Cloned child, os::clone_process(options));
  if (child.pid == 0) {
    FirstProcess first;
    first.filter = filters_.at(spec.profile);
    first.spec = std::move(spec);
    first.folders = tree.folders;
    first.cgroup = tree.cgroup;
    first.joins_cgroup = !birthplace.valid();
    first.spawner = std::move(self_);
    first.network_namespace = std::move(namespaces.network);
    first.report = std::move(message.fds[0]);
    first.standard_output = std::move(message.fds[2]);
    first.standard_error = std::move(message.fds[3]);
    first.niceness = niceness_;
    first.criu = std::move(criu_);
    os::close_all_but({0, 1, 2, first.spawner.get(), first.network_namespace.get(),
                       first.report.get(), first.standard_output.get(), first.standard_error.get(),
                       first.criu.program.get(), first.criu.facts.get()});
    run_first_process(std::move(first));
  }
  tree.pid = child.pid;
  tree.pidfd = std::move(child.pidfd);
  return tell_launched(message.fds[0], tree);
}

// A child does it: it enters the sandbox's namespaces, and the spawner goes on serving.
void SpawnerProcess::checkpoint(Reader& reader, os::Fd reply) {
  const std::string id = reader.text();
  const std::string images = reader.text();
  const std::uint64_t max_file_bytes = reader.number();
  const auto found = trees_.find(id);
  if (found == trees_.end() || found->second.pid == 0 || found->second.is_removing) {
    answer(reply, Error::not_found("the sandbox has ended").with("container", id));
    return;
  }
  if (!criu_.program.valid()) {
    answer(reply,
           Error::failed_precondition("there is no program that checkpoints; see `thaw doctor`"));
    return;
  }
  learn_facts(criu_);
  const pid_t pid = ::fork();
  if (pid == 0) {
    (void)die_with(self_);
    os::close_all_but(
        {0, 1, 2, reply.get(), found->second.pidfd.get(), criu_.program.get(), criu_.facts.get()});
    auto freezer = found->second.cgroup.open_freezer();
    if (!freezer) {
      answer(reply, freezer.error());
      ::_exit(0);
    }
    criu_.freezer = std::move(*freezer);
    answer(reply, write_checkpoint(criu_, found->second.pidfd, images, max_file_bytes,
                                   found->second.range));
    ::_exit(0);
  }
  if (pid < 0) {
    answer(reply, Error::from_errno(errno, "fork to checkpoint a sandbox"));
  }
}

}  // namespace thaw::sandbox::detail
