// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/user_namespace.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

#include "thaw/os/files.h"
#include "thaw/os/process.h"

namespace thaw::sandbox::detail {

namespace {

// Runs `body` in a child that shares memory and descriptors, and waits for its end: what it opens
// and writes is there afterwards, while its namespaces and credentials end with it.
Result<void> run_in_twin(int (*body)(void*), void* argument) {
  THAW_TRY(const pid_t pid, os::run_in_borrowed_memory(body, argument, os::Descriptors::shared));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return ok();
}

struct Request {
  int user_namespace;
  std::uint64_t namespaces = 0;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  int made = -1;  // descriptor
  int failure = 0;
};

// The machine's root is nobody in a namespace with ids of its own. The calls themselves, because a
// library's own would change the users of the threads that it knows of.
bool become_root() {
  return ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, 0, 0, 0) == 0 &&
         ::syscall(SYS_setresuid, 0, 0, 0) == 0;
}

int enter_and_clone(void* given) {
  Request& request = *static_cast<Request*>(given);
  if (::setns(request.user_namespace, CLONE_NEWUSER) != 0 || !become_root()) {
    request.failure = errno;
    return 1;
  }
  clone_args args{};
  args.flags = request.namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&request.made);
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) {
    request.body(request.argument);
    ::_exit(125);
  }
  request.failure = pid < 0 ? errno : 0;
  return 0;
}

int enter_and_unshare_network(void* given) {
  Request& request = *static_cast<Request*>(given);
  if (::setns(request.user_namespace, CLONE_NEWUSER) != 0 || ::unshare(CLONE_NEWNET) != 0) {
    request.failure = errno;
    return 1;
  }
  request.made = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  request.failure = request.made < 0 ? errno : 0;
  return 0;
}

}  // namespace

namespace {

// Whoever has the effective user that made a namespace has every power in it, also without any
// capability: root in a sandbox outside of this namespace would rule the networks that belong to
// it. So its maker is a user that nobody else is, one of two thousand millions.
uid_t nobody_else() {
  std::uint32_t chosen = 0;
  if (::getrandom(&chosen, sizeof chosen, 0) != sizeof chosen) {
    chosen = static_cast<std::uint32_t>(::getpid());
  }
  return 0x80000000U + chosen % 0x7fff0000U;
}

// In the child: unshares as that user with root's capabilities, says so, and stays until it is
// killed or nobody holds the other end of `stay`: whoever made it may be killed meanwhile.
[[noreturn]] void hold_user_namespace(const os::Fd& tell, const os::Fd& stay, uid_t maker) {
  constexpr unsigned long keep_capabilities = SECBIT_NO_SETUID_FIXUP;
  // Its limits are those of all that is in the namespace together.
  constexpr rlim_t lockable = 64 << 20;
  const rlimit locked{lockable, lockable};
  ::setrlimit(RLIMIT_MEMLOCK, &locked);
  const bool made = ::prctl(PR_SET_SECUREBITS, keep_capabilities, 0, 0, 0) == 0 &&
                    ::setresuid(static_cast<uid_t>(-1), maker, static_cast<uid_t>(-1)) == 0 &&
                    ::unshare(CLONE_NEWUSER) == 0;
  const int outcome = made ? 0 : errno;
  (void)!::write(tell.get(), &outcome, sizeof outcome);
  char none = 0;
  while (::read(stay.get(), &none, 1) < 0 && errno == EINTR) {
  }
  ::_exit(0);
}

struct Pipe {
  os::Fd to_read;
  os::Fd to_write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error::from_errno(errno, "make a pipe");
  }
  return Pipe{os::Fd(ends[0]), os::Fd(ends[1])};
}

}  // namespace

Result<os::Fd> make_user_namespace(IdRange range) {
  THAW_TRY(Pipe told, make_pipe());
  THAW_TRY(Pipe stay, make_pipe());
  THAW_TRY(os::Cloned child, os::clone_process({}));
  if (child.pid == 0) {
    stay.to_write.reset();
    hold_user_namespace(told.to_write, stay.to_read, range.valid() ? range.maker() : nobody_else());
  }
  told.to_write.reset();
  int outcome = EIO;
  (void)!::read(told.to_read.get(), &outcome, sizeof outcome);
  const std::string folder = "/proc/" + std::to_string(child.pid);
  // All ids but the last, which means "none".
  const std::string map =
      range.valid() ? "0 " + std::to_string(range.first) + " " + std::to_string(ids_in_range)
                    : "0 0 4294967295";
  auto mapped = outcome == 0 ? os::write_text(folder + "/uid_map", map)
                             : Error::from_errno(outcome, "unshare users");
  mapped = mapped ? os::write_text(folder + "/gid_map", map) : mapped;
  auto opened = os::open_file(folder + "/ns/user", O_RDONLY);
  (void)os::send_signal(child.pidfd, SIGKILL);
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!mapped) {
    return std::move(mapped).error().with("while", "making a user namespace");
  }
  return opened;
}

Result<os::Fd> make_network_namespace(const os::Fd& user_namespace) {
  Request request{.user_namespace = user_namespace.get()};
  THAW_TRY_VOID(run_in_twin(enter_and_unshare_network, &request));
  if (request.failure != 0) {
    return Error::from_errno(request.failure, "make a network namespace");
  }
  return os::Fd(request.made);
}

Result<Born> give_birth(const os::Fd& user_namespace, std::uint64_t namespaces, void (*body)(void*),
                        void* argument) {
  Request request{user_namespace.get(), namespaces, body, argument};
  THAW_TRY_VOID(run_in_twin(enter_and_clone, &request));
  if (request.failure != 0) {
    return Error::from_errno(request.failure, "make a process in the workspace's user namespace");
  }
  return Born{os::Fd(request.made)};
}

}  // namespace thaw::sandbox::detail
