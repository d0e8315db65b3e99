// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/process.h"

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "thaw/os/files.h"

namespace thaw::os {

namespace {

Error cannot_start(int number) {
  if (number == EAGAIN) {
    return Error::resource_exhausted(
        "no process can be started: a limit of processes is reached, of the container, of all "
        "containers of its workspace, or of the machine (kernel.pid_max)");
  }
  return Error::from_errno(number, "start a process");
}

}  // namespace

Result<Cloned> clone_process(const CloneOptions& options) {
  int pidfd = -1;
  clone_args args{};
  args.flags = options.namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (options.cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(options.cgroup);
  }
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) {
    return cannot_start(errno);
  }
  return Cloned{static_cast<pid_t>(pid), pid == 0 ? Fd() : Fd(pidfd)};
}

namespace {

class BorrowersStack {
 public:
  BorrowersStack()
      : start_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {}
  ~BorrowersStack() {
    if (start_ != MAP_FAILED) {
      ::munmap(start_, bytes);
    }
  }
  BorrowersStack(const BorrowersStack&) = delete;
  BorrowersStack& operator=(const BorrowersStack&) = delete;

  // Runs on it, in this process's memory.
  Result<pid_t> clone(int (*body)(void*), void* argument, int flags) {
    if (start_ == MAP_FAILED) {
      return Error::from_errno(errno, "make a stack");
    }
    const pid_t pid =
        ::clone(body, static_cast<char*>(start_) + bytes, CLONE_VM | SIGCHLD | flags, argument);
    if (pid < 0) {
      return cannot_start(errno);
    }
    return pid;
  }

 private:
  static constexpr std::size_t bytes = 512 * 1024;
  void* start_;
};

}  // namespace

Result<pid_t> run_in_borrowed_memory(int (*body)(void*), void* argument, Descriptors descriptors) {
  const int files = descriptors == Descriptors::shared ? CLONE_FILES : 0;
  return BorrowersStack().clone(body, argument, CLONE_VFORK | files);
}

Result<int> call_in_borrowed_memory(int (*body)(void*), void* argument) {
  BorrowersStack stack;
  THAW_TRY(const pid_t pid, stack.clone(body, argument, CLONE_FILES));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

Result<pid_t> pid_of(const Fd& pidfd) {
  THAW_TRY(const std::string text, read_text("/proc/self/fdinfo/" + std::to_string(pidfd.get())));
  const std::size_t found = text.find("Pid:\t");
  // NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion): the kernel writes a number
  const int pid = found == std::string::npos ? -1 : std::atoi(text.c_str() + found + 5);
  if (pid <= 0) {
    return Error::not_found("the process has ended");
  }
  return pid;
}

Result<void> send_signal(const Fd& pidfd, int number) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) != 0) {
    return Error::from_errno(errno, "send signal " + std::to_string(number));
  }
  return ok();
}

bool has_ended(const Fd& pidfd) {
  pollfd watched{pidfd.get(), POLLIN, 0};
  return !pidfd.valid() || (::poll(&watched, 1, 0) > 0 && watched.revents != 0);
}

bool is_doomed(pid_t pid) {
  const auto text = read_text("/proc/" + std::to_string(pid) + "/status");
  constexpr std::string_view field = "\nSigPnd:";
  const std::size_t at = text ? text->find(field) : std::string::npos;
  return at != std::string::npos &&
         (std::strtoull(text->c_str() + at + field.size(), nullptr, 16) >> (SIGKILL - 1) & 1) != 0;
}

void forget_arguments(const char* name) {
  const auto text = read_text("/proc/self/stat");
  ::prctl(PR_SET_NAME, name);
  ::clearenv();
  // Fields 48 to 51 of the line; the second, in brackets, may hold anything.
  const std::size_t bracket = text ? text->rfind(')') : std::string::npos;
  if (bracket == std::string::npos) {
    return;
  }
  std::istringstream fields(text->substr(bracket + 2));
  std::string skip;
  for (int field = 3; field < 48; ++field) {
    fields >> skip;
  }
  std::uintptr_t arguments = 0, arguments_end = 0, environment = 0, environment_end = 0;
  fields >> arguments >> arguments_end >> environment >> environment_end;
  const auto wipe = [](std::uintptr_t from, std::uintptr_t to) {
    if (from != 0 && to > from) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel says it as a number
      std::memset(reinterpret_cast<void*>(from), 0, to - from);
    }
  };
  wipe(arguments, arguments_end);
  wipe(environment, environment_end);
  if (arguments_end > arguments + std::strlen(name)) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel says it as a number
    std::memcpy(reinterpret_cast<void*>(arguments), name, std::strlen(name));
  }
}

void close_from(int first) { ::syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U); }

void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  int next = 0;
  for (const int number : kept) {
    if (number > next) {
      ::syscall(SYS_close_range, static_cast<unsigned>(next), static_cast<unsigned>(number - 1),
                0U);
    }
    next = std::max(next, number + 1);
  }
  close_from(next);
}

}  // namespace thaw::os
