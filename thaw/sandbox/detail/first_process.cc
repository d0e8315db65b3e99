// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/first_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/os/netlink.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/door.h"
#include "thaw/sandbox/detail/guests.h"
#include "thaw/sandbox/detail/image_ids.h"
#include "thaw/sandbox/detail/main_program.h"
#include "thaw/sandbox/detail/restore.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

constexpr int report_number = 0;
static_assert(supervising_powers == std::uint64_t{1} << CAP_KILL);

}  // namespace

void give_up(const os::Fd& report, const Error& error) {
  (void)os::send_message(report.get(), encode_failure(error));
  ::_exit(125);
}

// PID 1 dies with the spawner, and the tree with PID 1. The spawner may have died before the
// kernel was asked, which the pidfd tells.
Result<void> die_with(const os::Fd& spawner) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    return Error::from_errno(errno, "tie the sandbox to its spawner");
  }
  pollfd watched{spawner.get(), POLLIN, 0};
  if (::poll(&watched, 1, 0) > 0) {
    ::_exit(125);
  }
  return ok();
}

Result<void> join_new_keyring() {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS) {
    return Error::from_errno(errno, "make a session keyring");
  }
  return ok();
}

namespace {

Result<void> enter(FirstProcess& self) {
  THAW_TRY_VOID(die_with(self.spawner));
  if (self.spec.checkpoints == SandboxSpec::Checkpoints::possible && !self.spec.restore) {
    THAW_TRY(const os::Fd proc, os::open_file("/proc", O_PATH | O_DIRECTORY));
    THAW_TRY_VOID(leave_low_pids_free(proc));
  }
  if (self.spec.restore) {
    THAW_TRY(self.criu.images, open_images(self.spec.restore->images, os::Fd()));
    if (::faccessat(self.criu.images.get(), own_ids_mark, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
      return Error::failed_precondition(
          "it was stopped with user ids of its own, which this server gives to no container");
    }
  }
  if (self.joins_cgroup) {
    THAW_TRY_VOID(self.cgroup.add(0));
  }
  if (::unshare(CLONE_NEWCGROUP) != 0) {
    return Error::from_errno(errno, "make a cgroup namespace");
  }
  if (self.network_namespace.valid()) {
    if (::setns(self.network_namespace.get(), CLONE_NEWNET) != 0) {
      return Error::from_errno(errno, "enter the sandbox's network");
    }
  } else if (self.spec.network == SandboxSpec::Network::none) {
    THAW_TRY(os::Netlink links, os::Netlink::open());
    THAW_TRY_VOID(links.set_up(os::link_index("lo")));
  }
  if (self.spec.door_port != 0) {
    THAW_TRY_VOID(open_door(self.report, self.spec.door_port));
  }
  const std::string hostname = self.spec.hostname.empty() ? "sandbox" : self.spec.hostname;
  if (::sethostname(hostname.c_str(), hostname.size()) != 0) {
    return Error::from_errno(errno, "set the host name");
  }
  ::setsid();
  ::umask(022);
  // The main program and its children are killed before PID 1, which has to tell of it.
  // Without CAP_SYS_RESOURCE it is at least the smallest process of the tree.
  (void)os::write_text("/proc/self/oom_score_adj", "-1000");
  THAW_TRY_VOID(enter_root(self.folders, self.spec, {}, self.report));
  return join_new_keyring();
}

}  // namespace

void tell_started(const os::Fd& report, Instant started, int niceness, std::uint64_t powers) {
  const auto moment = static_cast<std::uint64_t>(Duration(started.time_since_epoch()).count());
  (void)os::send_message(report.get(), Writer(Kind::started).number(moment).bytes());
  ::setpriority(PRIO_PROCESS, 0, niceness);
  if (auto dropped = drop_capabilities(powers); !dropped) {
    give_up(report, dropped.error());
  }
}

int supervise(pid_t main_program, const sigset_t& all) {
  while (true) {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == main_program) {
        return status;
      }
    }
    const int number = ::sigwaitinfo(&all, nullptr);
    if (number > 0 && number != SIGCHLD) {
      ::kill(main_program, number);
    }
  }
}

namespace {

// The filter is inherited by a program that is run. A restored one brings its own, and what
// restores it may not have any.
Result<MainProgram> begin(FirstProcess& self) {
  Result<MainProgram> restored = MainProgram{};
  if (self.spec.restore) {
    restored = restore_main_program(
        self.criu, *self.spec.restore,
        {self.standard_output.get(), self.standard_error.get(), self.niceness});
    if (!restored) {
      return restored;
    }
  }
  // The main program's last steps and PID 1's get by with what the filter allows.
  THAW_TRY_VOID(apply_filter(self.filter));
  if (self.spec.restore) {
    return restored;
  }
  if (self.spec.argv.empty()) {
    return MainProgram{0, monotonic_now()};  // of guests only
  }
  return start_main_program(self.spec,
                            {self.standard_output.get(), self.standard_error.get(), self.niceness});
}

}  // namespace

void run_first_process(FirstProcess self) {
  ::prctl(PR_SET_NAME, "thaw-init");
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  if (auto entered = enter(self); !entered) {
    give_up(self.report, entered.error());
  }
  ::prctl(PR_SET_DUMPABLE, 0);  // nobody inside looks into PID 1
  const auto started = begin(self);
  if (!started) {
    give_up(self.report, started.error());
  }
  // From here on PID 1 holds its report socket and nothing else.
  ::dup2(self.report.release(), report_number);
  os::close_from(report_number + 1);
  const os::Fd report(report_number);
  const bool is_host = self.spec.guests == SandboxSpec::Guests::possible;
  tell_started(report, started->started, self.niceness,
               is_host ? hosting_powers(Ids::of_machine) : supervising_powers);
  const int status = is_host ? host_guests(report, started->pid, {Ids::of_machine, self.niceness})
                             : supervise(started->pid, all);
  (void)os::send_message(report.get(),
                         Writer(Kind::exited).number(static_cast<std::uint64_t>(status)).bytes());
  ::_exit(0);
}

}  // namespace thaw::sandbox::detail
