// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/slot_builder.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "thaw/os/files.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/door.h"
#include "thaw/sandbox/detail/first_process.h"
#include "thaw/sandbox/detail/main_program.h"
#include "thaw/sandbox/detail/newcomer.h"
#include "thaw/sandbox/detail/nft.h"
#include "thaw/sandbox/detail/slot.h"
#include "thaw/sandbox/detail/user_namespace.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

// A template serves one request after the other in milliseconds; one that does not is passed over.
constexpr Duration template_patience = 3s;
constexpr Duration own_patience = 60s;
// A start is what somebody waits for: it goes before the work that is already running.
constexpr int starters_niceness = -10;
// In which PID 1 is gone once all others are.
constexpr int longest_end_ms = 5000;

struct Cradled {  // what the slot has told of itself
  os::Fd cradle;
  os::Fd pidfd;
  os::Fd pid, uts, ipc, network;  // namespaces
  std::vector<os::Fd> cgroup_files;
};

bool is_forked(const SandboxSpec& spec) { return !spec.fork_from.str().empty(); }

Result<os::Fd> copy_of(const os::Fd& fd) {
  if (!fd.valid()) {
    return os::Fd();
  }
  os::Fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) {
    return Error::from_errno(errno, "copy a descriptor");
  }
  return copy;
}

Result<void> enter(const os::Fd& name_space, int type, const char* what) {
  if (::setns(name_space.get(), type) != 0) {
    return Error::from_errno(errno, std::string("enter ") + what);
  }
  return ok();
}

// `pid` in this process's numbers.
Result<void> join_cgroup(const Cradled& cradled, pid_t pid) {
  const std::string number = std::to_string(pid);
  for (const os::Fd& file : cradled.cgroup_files) {
    if (::write(file.get(), number.data(), number.size()) < 0) {
      return Error::from_errno(errno, "put a process into its cgroup");
    }
  }
  return ok();
}

// Programs open their output by name too ("/dev/stdout"), and so does what restores them: root of
// the machine, who made the pipes, is nobody inside.
Result<void> give_output(const SlotPlan& plan) {
  if (!plan.range.valid()) {
    return ok();
  }
  for (const os::Fd* pipe : {&plan.standard_output, &plan.standard_error}) {
    if (pipe->valid() && ::fchown(pipe->get(), plan.range.first, plan.range.first) != 0) {
      return Error::from_errno(errno, "give a sandbox its output");
    }
  }
  return ok();
}

void be_slot(void* slot) { run_slot(*static_cast<Slot*>(slot)); }

Result<Cradled> give_birth_to_slot(SlotPlan& plan, os::Fd host_proc) {
  THAW_TRY(auto pair, os::make_message_pair());
  Slot slot{.spec = plan.spec, .filter = plan.filter};
  slot.cradle = std::move(pair.second);
  slot.builders_end = pair.first.get();
  slot.host_proc = std::move(host_proc);
  THAW_TRY(slot.spawner, copy_of(plan.spawner));
  THAW_TRY(slot.report, copy_of(plan.report));  // a spare has none yet
  THAW_TRY(slot.births, copy_of(plan.births));
  slot.ids = plan.range.ids();
  slot.criu = std::move(plan.criu);
  if (!is_forked(plan.spec)) {
    slot.control = std::move(plan.control);
    slot.standard_output = std::move(plan.standard_output);
    slot.standard_error = std::move(plan.standard_error);
  }
  slot.niceness = plan.niceness;
  std::uint64_t namespaces = CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
  if (!plan.network_namespace.valid() && plan.spec.network != SandboxSpec::Network::host) {
    namespaces |= CLONE_NEWNET;
  }
  Cradled cradled;
  THAW_TRY(Born born, give_birth(plan.user_namespace, namespaces, be_slot, &slot));
  cradled.cradle = std::move(pair.first);
  cradled.pidfd = std::move(born.pidfd);
  return cradled;
}

// Nobody waits for a spare before it has an order.
Result<void> wait_for_order(SlotPlan& plan, Newcomer& newcomer, pid_t pid) {
  ::setpriority(PRIO_PROCESS, 0, 19);
  // Whatever is mounted or unmounted on the host meanwhile is so here.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return Error::from_errno(errno, "follow the host's mounts");
  }
  THAW_TRY_VOID(newcomer.prepare(monotonic_now() + own_patience));
  os::Message order;
  // The spawner raises the priority of both before it sends the order.
  const os::Fd own(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  const os::Fd forked(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const bool has_both = own.valid() && forked.valid();
  THAW_TRY(const auto sent, os::send_message(plan.orders.get(), "ready",
                                             has_both ? std::vector<int>{own.get(), forked.get()}
                                                      : std::vector<int>{}));
  pollfd watched[2] = {{plan.orders.get(), POLLIN, 0}, {newcomer.socket(), POLLIN, 0}};
  while (::poll(watched, 2, -1) < 0) {
  }
  if (watched[0].revents == 0) {
    return Error::unavailable("a spare fork has ended");
  }
  const auto received = os::receive_message(plan.orders.get(), order);
  if (sent != os::Transfer::done || !received || *received != os::Transfer::done ||
      order.fds.size() != 4) {
    ::_exit(1);  // it is not wanted any more
  }
  ::setpriority(PRIO_PROCESS, 0, starters_niceness);
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), plan.niceness);
  plan.report = std::move(order.fds[0]);
  plan.standard_output = std::move(order.fds[2]);
  plan.standard_error = std::move(order.fds[3]);
  THAW_TRY_VOID(give_output(plan));
  THAW_TRY(const std::string bytes, os::read_memory_file(order.fds[1]));
  THAW_TRY(plan.spec, decode(bytes));
  follow_image(plan.folders, plan.spec);
  return ok();
}

// In a child that is in the pid namespace of the slot, as what mounts /proc must be.
Result<void> house(SlotPlan& plan, Cradled& cradled, std::optional<Newcomer>& newcomer) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  THAW_TRY_VOID(enter(cradled.ipc, CLONE_NEWIPC, "the sandbox's ipc namespace"));
  THAW_TRY_VOID(enter(cradled.network, CLONE_NEWNET, "the sandbox's network"));
  const bool is_spare = plan.orders.valid();
  pid_t pid = 0;
  if (is_spare) {
    THAW_TRY(pid, newcomer->arrive(monotonic_now() + template_patience));
    THAW_TRY_VOID(join_cgroup(cradled, pid));
    THAW_TRY_VOID(wait_for_order(plan, *newcomer, pid));
  }
  THAW_TRY_VOID(
      enter_root(plan.folders, plan.spec, {&plan.user_namespace, plan.range}, plan.report));
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of user has forgotten it
  const std::string hostname = plan.spec.hostname.empty() ? "sandbox" : plan.spec.hostname;
  THAW_TRY_VOID(say(cradled.cradle, Cradle::rooted,
                    is_spare ? std::vector<int>{plan.report.get()} : std::vector<int>{}, 0,
                    hostname));
  const Instant housed_by = monotonic_now() + own_patience;
  THAW_TRY(const os::Message housed, expect(cradled.cradle, Cradle::housed, housed_by));
  if (housed.fds.size() != 2) {
    return Error::internal("a sandbox does not say what its namespaces are");
  }
  if (plan.spec.door_port != 0) {
    THAW_TRY_VOID(open_door(plan.report, plan.spec.door_port));
  }
  if (!newcomer) {
    return ok();
  }
  const Instant deadline = monotonic_now() + template_patience;
  if (!is_spare) {
    THAW_TRY(pid, newcomer->arrive(deadline));
    THAW_TRY_VOID(join_cgroup(cradled, pid));
  }
  ForkOrder order{.spec = &plan.spec, .filter = &plan.filter, .range = plan.range};
  order.namespaces = {housed.fds[0].get(), cradled.network.get(), cradled.uts.get(),
                      cradled.ipc.get(), housed.fds[1].get()};
  order.standard_output = plan.standard_output.get();
  order.standard_error = plan.standard_error.get();
  THAW_TRY_VOID(newcomer->let_in(order, deadline));
  THAW_TRY_VOID(say(cradled.cradle, Cradle::adopt, {}, static_cast<std::uint64_t>(pid)));
  return expect(cradled.cradle, Cradle::adopted, monotonic_now() + own_patience)
      .map([](const os::Message&) {});
}

struct Housing {
  SlotPlan& plan;
  Cradled& cradled;
  std::optional<Newcomer>& newcomer;
};

int be_housing(void* given) {
  Housing& self = *static_cast<Housing*>(given);
  if (auto housed = house(self.plan, self.cradled, self.newcomer); !housed) {
    give_up(self.plan.report, housed.error());
  }
  return 0;
}

Result<void> build(SlotPlan& plan) {
  THAW_TRY_VOID(die_with(plan.spawner));
  ::umask(022);
  // Inside they can be lowered, and no more.
  THAW_TRY_VOID(set_limits());
  (void)os::write_text("/proc/self/oom_score_adj", "-1000");
  THAW_TRY_VOID(give_output(plan));
  THAW_TRY(os::Fd host_proc, os::open_file("/proc", O_PATH | O_DIRECTORY));
  if (plan.spec.restore) {
    THAW_TRY(plan.criu.images, open_images(plan.spec.restore->images, plan.user_namespace));
  }
  // For when no path leads to them. The builder itself stays outside: what somebody waits for does
  // not share the container's share of a busy machine.
  THAW_TRY(std::vector<os::Fd> cgroup_files, plan.cgroup.open_processes());
  if (!plan.reach_rules.empty()) {
    THAW_TRY_VOID(run_nft(plan.reach_rules, plan.network_namespace));
  }
  if (is_forked(plan.spec)) {
    THAW_TRY_VOID(enter(plan.parent_pid_namespace, CLONE_NEWPID, "the template's processes"));
  }
  if (plan.network_namespace.valid()) {
    THAW_TRY_VOID(enter(plan.network_namespace, CLONE_NEWNET, "the sandbox's network"));
  }
  // The slot is born into the same mounts and follows them into the new root. They are not its
  // user namespace's, so that nobody can enter while the host's files are still there.
  if (::unshare(CLONE_NEWNS) != 0) {
    return Error::from_errno(errno, "make a mount namespace");
  }
  THAW_TRY(Cradled cradled, give_birth_to_slot(plan, std::move(host_proc)));
  cradled.cgroup_files = std::move(cgroup_files);
  THAW_TRY(const pid_t first_process, os::pid_of(cradled.pidfd));
  THAW_TRY_VOID(join_cgroup(cradled, first_process));
  THAW_TRY_VOID(say(cradled.cradle, Cradle::begin));
  THAW_TRY(os::Message born, expect(cradled.cradle, Cradle::born, monotonic_now() + own_patience));
  if (born.fds.size() != 4) {
    return Error::internal("a sandbox does not say what its namespaces are");
  }
  cradled.pid = std::move(born.fds[0]);
  cradled.uts = std::move(born.fds[1]);
  cradled.ipc = std::move(born.fds[2]);
  cradled.network = std::move(born.fds[3]);
  THAW_TRY([[maybe_unused]] const auto told,
           os::send_message(plan.births.get(), Writer().number(1).bytes(),
                            {cradled.pidfd.get(), cradled.pid.get()}));
  std::optional<Newcomer> newcomer;
  if (is_forked(plan.spec)) {
    THAW_TRY(newcomer, Newcomer::ask_for(plan.control, cradled.pid));
  }
  THAW_TRY_VOID(enter(cradled.pid, CLONE_NEWPID, "the sandbox's processes"));
  // In this memory: nothing is copied for it, and its end takes nothing apart while somebody waits.
  Housing housing{plan, cradled, newcomer};
  THAW_TRY(const int status, os::call_in_borrowed_memory(be_housing, &housing));
  plan.orders.reset();  // of a spare: it has ended, or is none any more
  // The slot knows by this that nothing of the builder's is to be seen inside any more.
  cradled.cradle.reset();
  if (WIFSIGNALED(status)) {
    // With the sandbox, if that has come to its end meanwhile, as the shortest programs do: then
    // PID 1 has said how.
    pollfd ended{cradled.pidfd.get(), POLLIN, 0};
    return ::poll(&ended, 1, longest_end_ms) > 0
               ? ok()
               : Error::internal("what builds a sandbox was killed");
  }
  // Now that nothing of the builder's is to be seen inside.
  return newcomer && WEXITSTATUS(status) == 0 ? newcomer->go() : ok();
}

}  // namespace

std::vector<int> SlotPlan::descriptors() const {
  std::vector<int> numbers;
  for (const os::Fd* fd :
       {&spawner, &user_namespace, &network_namespace, &parent_pid_namespace, &control, &report,
        &standard_output, &standard_error, &births, &orders, &criu.program, &criu.facts}) {
    numbers.push_back(fd->get());
  }
  return numbers;
}

void build_slot(SlotPlan plan) {
  ::prctl(PR_SET_NAME, "thaw-builder");
  if (auto built = build(plan); !built) {
    give_up(plan.report, built.error());
  }
  ::_exit(0);
}

}  // namespace thaw::sandbox::detail
