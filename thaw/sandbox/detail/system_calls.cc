// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/system_calls.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>

#include "thaw/os/message.h"

namespace thaw::sandbox::detail {

namespace {

// By name, because numbers differ between machines; a name that a machine lacks is skipped.
constexpr const char* allowed[] = {
    // Files and folders.
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod",
    "fchmodat", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock",
    "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd",
    "getdents", "getdents64", "getxattr", "ioctl", "lchown", "lgetxattr", "link", "linkat",
    "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat",
    "mknod", "mknodat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2", "pipe",
    "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime",
    "utimensat", "utimes", "vmsplice", "write", "writev",
    // Waiting for files.
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd", "eventfd2", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "poll",
    "ppoll", "pselect6", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime",
    "timerfd_settime",
    // Memory.
    "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall",
    "mmap", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "process_madvise", "remap_file_pages",
    // Processes and threads. clone and unshare are below.
    "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex",
    "futex_waitv", "get_robust_list", "get_thread_area", "getcpu", "getegid", "geteuid", "getgid",
    "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid",
    "getrlimit", "getrusage", "getsid", "gettid", "getuid", "ioprio_get", "ioprio_set", "kill",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "pause", "pidfd_open",
    "pidfd_send_signal", "prctl", "prlimit64", "restart_syscall", "rseq", "rt_sigaction",
    "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "set_robust_list", "set_thread_area",
    "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid", "setpriority",
    "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setuid",
    "sigaltstack", "tgkill", "tkill", "vfork", "wait4", "waitid",
    // Time.
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
    "nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun",
    "timer_gettime", "timer_settime", "times",
    // Talking. socket is below.
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink",
    "msgctl", "msgget", "msgrcv", "msgsnd", "recvfrom", "recvmmsg", "recvmsg", "semctl", "semget",
    "semop", "semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shmat", "shmctl",
    "shmdt", "shmget", "shutdown", "socketpair",
    // Asking.
    "getrandom", "sysinfo", "uname"};

// Newer than the library that knows the names; the same number on every machine.
constexpr int allowed_numbers[] = {451 /* cachestat */,
                                   452 /* fchmodat2 */,
                                   453 /* map_shadow_stack */,
                                   454 /* futex_wake */,
                                   455 /* futex_wait */,
                                   456 /* futex_requeue */,
                                   462 /* mseal */};
constexpr int last_known_number = 462;

// No error but "there is none": whoever asks has another way.
constexpr const char* unavailable[] = {"clone3", "io_uring_setup", "io_uring_enter",
                                       "io_uring_register"};

constexpr std::uint64_t new_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

class Rules {
 public:
  explicit Rules(std::uint32_t otherwise)
      : context_(::seccomp_init(otherwise), ::seccomp_release) {}

  void add(std::uint32_t action, const char* name, std::vector<scmp_arg_cmp> arguments = {}) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number >= 0) {
      add(action, number, std::move(arguments));
    }
  }
  void add(std::uint32_t action, int number, std::vector<scmp_arg_cmp> arguments = {}) {
    const int failed = ::seccomp_rule_add_array(
        context_.get(), action, number, static_cast<unsigned>(arguments.size()), arguments.data());
    failed_ = failed_ != 0 ? failed_ : -failed;
  }

  Result<SystemCallFilter> compile() {
    THAW_TRY(const os::Fd file, os::make_memory_file(""));
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    failed_ = failed_ != 0 ? failed_ : -::seccomp_export_bpf(context_.get(), file.get());
    if (failed_ != 0) {
      return Error::from_errno(failed_, "compile the system call filter");
    }
    THAW_TRY(const std::string bytes, os::read_memory_file(file));
    SystemCallFilter filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                               BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last_known_number, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)};
    const auto* program = reinterpret_cast<const sock_filter*>(bytes.data());
    const std::size_t statements = bytes.size() / sizeof(sock_filter);
    filter.insert(filter.end(), program, program + statements);
    return filter;
  }

 private:
  std::unique_ptr<void, decltype(&::seccomp_release)> context_;
  int failed_ = 0;
};

// A family that is refused says what a kernel without it would: programs such as su then go on
// without audit, for example.
void allow_sockets(Rules& rules) {
  constexpr unsigned last_family = 64;
  for (unsigned family = 0; family <= last_family; ++family) {
    const bool plain = family == AF_UNIX || family == AF_INET || family == AF_INET6;
    if (family != AF_NETLINK) {
      rules.add(plain ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket",
                {SCMP_A0(SCMP_CMP_EQ, family)});
    }
  }
  // Only to ask for links and addresses, as getaddrinfo does.
  constexpr unsigned netlink_route = 0;
  rules.add(SCMP_ACT_ALLOW, "socket",
            {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, netlink_route)});
  rules.add(SCMP_ACT_ERRNO(EPROTONOSUPPORT), "socket",
            {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_GT, netlink_route)});
}

void allow_personalities(Rules& rules) {
  for (const std::uint64_t harmless : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL}) {
    rules.add(SCMP_ACT_ALLOW, "personality", {SCMP_A0(SCMP_CMP_EQ, harmless)});
  }
}

}  // namespace

Result<SystemCallFilter> make_filter(Profile profile, Ids ids) {
  Rules rules(SCMP_ACT_ERRNO(EPERM));
  for (const char* name : allowed) {
    rules.add(SCMP_ACT_ALLOW, name);
  }
  for (const int number : allowed_numbers) {
    rules.add(SCMP_ACT_ALLOW, number);
  }
  for (const char* name : unavailable) {
    rules.add(SCMP_ACT_ERRNO(ENOSYS), name);
  }
  for (const char* name : {"clone", "unshare"}) {
    rules.add(SCMP_ACT_ALLOW, name, {SCMP_A0(SCMP_CMP_MASKED_EQ, new_namespaces, 0)});
  }
  allow_sockets(rules);
  allow_personalities(rules);
  if (profile == Profile::build || ids == Ids::own) {
    rules.add(SCMP_ACT_ALLOW, "chroot");
  }
  if (profile == Profile::templated) {
    rules.add(SCMP_ACT_ALLOW, "setns");
  }
  return rules.compile();
}

Result<void> apply_filter(const SystemCallFilter& filter) {
  const sock_fprog program{static_cast<unsigned short>(filter.size()),
                           const_cast<sock_filter*>(filter.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return Error::from_errno(errno, "apply the system call filter");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
