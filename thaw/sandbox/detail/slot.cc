// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/slot.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "thaw/os/netlink.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/first_process.h"
#include "thaw/sandbox/detail/guests.h"
#include "thaw/sandbox/detail/main_program.h"
#include "thaw/sandbox/detail/restore.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

constexpr int report_number = 0, births_number = 1;

Result<os::Fd> own_namespace(const os::Fd& proc, const char* name) {
  const std::string path = std::string("self/ns/") + name;
  os::Fd fd(::openat(proc.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return Error::from_errno(errno, "open a namespace of a sandbox");
  }
  return fd;
}

Result<void> send_namespaces(const Slot& slot, Cradle what, const std::vector<const char*>& names) {
  std::vector<os::Fd> held;
  std::vector<int> numbers;
  for (const char* name : names) {
    THAW_TRY(os::Fd fd, own_namespace(slot.host_proc, name));
    numbers.push_back(fd.get());
    held.push_back(std::move(fd));
  }
  return say(slot.cradle, what, numbers);
}

Result<void> settle(Slot& slot) {
  THAW_TRY_VOID(send_namespaces(slot, Cradle::born, {"pid", "uts", "ipc", "net"}));
  // The one that made this process has ended by now, so that the tie is to who took it over.
  THAW_TRY([[maybe_unused]] const auto begun, expect(slot.cradle, Cradle::begin, Instant::max()));
  THAW_TRY_VOID(die_with(slot.spawner));
  if (slot.spec.network == SandboxSpec::Network::none) {
    THAW_TRY(os::Netlink links, os::Netlink::open());
    THAW_TRY_VOID(links.set_up(os::link_index("lo")));
  }
  ::setsid();
  ::umask(022);
  THAW_TRY(os::Message rooted, expect(slot.cradle, Cradle::rooted, Instant::max()));
  if (rooted.fds.size() == 1) {
    slot.report = std::move(rooted.fds[0]);
  }
  Reader told(rooted.bytes);
  (void)told.number();
  (void)told.number();
  const std::string hostname = told.text();
  if (::sethostname(hostname.c_str(), hostname.size()) != 0) {
    return Error::from_errno(errno, "set the host name");
  }
  // The builder has moved this process's root too. The copy of its mounts belongs to this user
  // namespace, so that those who have a right to be here can enter.
  if (::chdir("/") != 0 || ::unshare(CLONE_NEWNS | CLONE_NEWCGROUP) != 0) {
    return Error::from_errno(errno, "take over the mounts of a sandbox");
  }
  if (slot.spec.checkpoints == SandboxSpec::Checkpoints::possible && !slot.spec.restore) {
    THAW_TRY_VOID(leave_low_pids_free(slot.host_proc));
  }
  THAW_TRY_VOID(send_namespaces(slot, Cradle::housed, {"mnt", "cgroup"}));
  slot.host_proc.reset();
  slot.spawner.reset();
  return join_new_keyring();
}

Result<MainProgram> adopt(const Slot& slot) {
  THAW_TRY(const os::Message message, expect(slot.cradle, Cradle::adopt, Instant::max()));
  Reader reader(message.bytes);
  (void)reader.number();
  const auto pid = static_cast<pid_t>(reader.number());
  int status = 0;
  // Whoever says so: only a child that lives can be waited for and have nothing to say yet.
  if (pid <= 1 || ::waitpid(pid, &status, WNOHANG) != 0) {
    return Error::internal("the template did not fork into the sandbox");
  }
  const MainProgram program{pid, monotonic_now()};
  THAW_TRY_VOID(say(slot.cradle, Cradle::adopted));
  return program;
}

// What was forked goes on after the template's own program has ended, and all of it with PID 1.
[[noreturn]] void outlive(const sigset_t& all) {
  while (true) {
    int status = 0;
    while (::waitpid(-1, &status, WNOHANG) > 0) {
    }
    (void)::sigwaitinfo(&all, nullptr);
  }
}

int supervise_template(pid_t program, const sigset_t& all) {
  while (true) {
    const int number = ::sigwaitinfo(&all, nullptr);
    if (number > 0 && number != SIGCHLD) {
      ::kill(program, SIGKILL);  // it may not choose
      continue;
    }
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == program) {
        return status;
      }
    }
  }
}

// The end of the cradle: no process with powers over the machine is in this pid namespace then.
Result<void> wait_for_builder(const Slot& slot) {
  os::Message message;
  THAW_TRY(const os::Transfer received, os::receive_message(slot.cradle.get(), message));
  return received == os::Transfer::end
             ? ok()
             : Result<void>(Error::internal("an unexpected step in a sandbox's start"));
}

// The filter is inherited by a program that is run. A restored one brings its own, and what
// restores it may not have any.
Result<MainProgram> begin(const Slot& slot) {
  const bool is_forked = !slot.spec.fork_from.str().empty();
  const Surroundings surroundings{slot.standard_output.get(), slot.standard_error.get(),
                                  slot.niceness, slot.control.get(), slot.ids};
  if (slot.spec.restore && !is_forked) {
    THAW_TRY_VOID(wait_for_builder(slot));
    auto restored = restore_main_program(slot.criu, *slot.spec.restore, surroundings);
    if (restored) {
      THAW_TRY_VOID(apply_filter(slot.filter));
    }
    return restored;
  }
  THAW_TRY_VOID(apply_filter(slot.filter));
  if (is_forked) {
    return adopt(slot);
  }
  THAW_TRY_VOID(wait_for_builder(slot));
  if (slot.spec.argv.empty()) {
    return MainProgram{0, monotonic_now()};  // of guests only
  }
  return start_main_program(slot.spec, surroundings);
}

}  // namespace

Result<void> say(const os::Fd& cradle, Cradle what, const std::vector<int>& fds,
                 std::uint64_t number, std::string_view text) {
  Writer message;
  message.number(static_cast<std::uint64_t>(what)).number(number).text(text);
  THAW_TRY(const os::Transfer sent, os::send_message(cradle.get(), message.bytes(), fds));
  if (sent != os::Transfer::done) {
    return Error::unavailable("the other side of a sandbox's start is gone");
  }
  return ok();
}

Result<os::Message> expect(const os::Fd& cradle, Cradle wanted, Instant deadline) {
  while (true) {
    int wait_ms = -1;
    if (deadline != Instant::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - monotonic_now());
      wait_ms = static_cast<int>(std::max<std::int64_t>(0, left.count()));
    }
    pollfd watched{cradle.get(), POLLIN, 0};
    const int ready = ::poll(&watched, 1, wait_ms);
    if (ready == 0) {
      return Error::deadline_exceeded("a sandbox's start took too long");
    }
    if (ready < 0) {
      continue;
    }
    os::Message message;
    THAW_TRY(const os::Transfer received, os::receive_message(cradle.get(), message));
    if (received == os::Transfer::end) {
      return Error::unavailable("the other side of a sandbox's start is gone");
    }
    if (received == os::Transfer::done) {
      const auto said = static_cast<Cradle>(Reader(message.bytes).number());
      if (said == wanted) {
        return message;
      }
      return Error::internal("an unexpected step in a sandbox's start");
    }
  }
}

void run_slot(Slot& slot) {
  ::prctl(PR_SET_NAME, "thaw-init");
  ::prctl(PR_SET_DUMPABLE, 0);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::close(slot.builders_end);
  const bool is_template = slot.spec.profile == Profile::templated;
  if (auto settled = settle(slot); !settled) {
    // The builder tells why, unless it was this side that failed.
    give_up(slot.report, settled.error());
  }
  const auto started = begin(slot);
  if (!started) {
    give_up(slot.report, started.error());
  }
  ::dup2(slot.report.release(), report_number);
  ::dup2(slot.births.release(), births_number);
  os::close_from(births_number + 1);
  const os::Fd report(report_number);
  const bool is_host = slot.spec.guests == SandboxSpec::Guests::possible && !is_template;
  tell_started(report, started->started, slot.niceness,
               is_host ? hosting_powers(slot.ids) : supervising_powers);
  const int status = is_template ? supervise_template(started->pid, all)
                     : is_host   ? host_guests(report, started->pid, {slot.ids, slot.niceness})
                                 : supervise(started->pid, all);
  (void)os::send_message(report.get(),
                         Writer(Kind::exited).number(static_cast<std::uint64_t>(status)).bytes());
  if (is_template) {
    outlive(all);
  }
  ::_exit(0);
}

}  // namespace thaw::sandbox::detail
