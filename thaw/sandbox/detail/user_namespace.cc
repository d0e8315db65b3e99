// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/user_namespace.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
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
  constexpr std::size_t stack_bytes = 512 * 1024;
  void* stack = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) {
    return Error::from_errno(errno, "make a stack");
  }
  const pid_t pid = ::clone(body, static_cast<char*>(stack) + stack_bytes,
                            CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, argument);
  const int failure = errno;
  if (pid > 0) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  ::munmap(stack, stack_bytes);
  if (pid < 0) {
    return Error::from_errno(failure, "start a process");
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

int enter_and_clone(void* given) {
  Request& request = *static_cast<Request*>(given);
  if (::setns(request.user_namespace, CLONE_NEWUSER) != 0) {
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

Result<os::Fd> make_user_namespace() {
  os::CloneOptions options;
  options.namespaces = CLONE_NEWUSER;
  THAW_TRY(os::Cloned child, os::clone_process(options));
  if (child.pid == 0) {
    ::pause();  // until it is killed
    ::_exit(0);
  }
  const std::string folder = "/proc/" + std::to_string(child.pid);
  // All ids but the last, which means "none".
  const std::string same = "0 0 4294967295";
  auto mapped = os::write_text(folder + "/uid_map", same);
  mapped = mapped ? os::write_text(folder + "/gid_map", same) : mapped;
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
