// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/main_program.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "thaw/os/files.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/user_lookup.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

constexpr int report_number = 3;

void write_all(int fd, const std::string& bytes) {
  // Less than a pipe's buffer, so one write takes all of it.
  [[maybe_unused]] const ssize_t n = ::write(fd, bytes.data(), bytes.size());
}

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<void> arrange_descriptors(const MainProgramFds& fds) {
  THAW_TRY(const os::Fd null, os::open_file("/dev/null", O_RDONLY));
  // The report goes first: it may stand where the others go. It is above 2 in any case.
  const os::Fd report(::fcntl(fds.report, F_DUPFD_CLOEXEC, report_number + 1));
  if (!report.valid() || ::dup2(null.get(), 0) < 0 || ::dup2(fds.output, 1) < 0 ||
      ::dup2(fds.error, 2) < 0 || ::dup3(report.get(), report_number, O_CLOEXEC) < 0) {
    return Error::from_errno(errno, "arrange descriptors");
  }
  return ok();
}

Result<void> set_limits() {
  struct Limit {
    decltype(RLIMIT_CORE) what;
    rlim_t soft, hard;
  };
  // A core limit of 1 also switches off core dumps that the host pipes into a program of its own.
  const Limit limits[] = {{RLIMIT_CORE, 1, 1},
                          {RLIMIT_NOFILE, 65536, 1048576},
                          {RLIMIT_MEMLOCK, 64 << 20, 64 << 20},
                          {RLIMIT_MSGQUEUE, 819200, 819200},
                          {RLIMIT_STACK, 8 << 20, RLIM_INFINITY},
                          {RLIMIT_NICE, 0, 0},
                          {RLIMIT_RTPRIO, 0, 0}};
  for (const Limit& limit : limits) {
    rlimit values{};
    ::getrlimit(limit.what, &values);
    const rlimit wanted{limit.soft, limit.hard};
    if (::setrlimit(limit.what, &wanted) == 0) {
      continue;
    }
    // A server that may not raise limits can still lower them.
    values = {std::min(limit.soft, values.rlim_max), std::min(limit.hard, values.rlim_max)};
    if (::setrlimit(limit.what, &values) != 0) {
      return Error::from_errno(errno, "set a resource limit");
    }
  }
  return ok();
}

Result<void> enter_folder(const std::string& cwd) {
  if (::chdir(cwd.c_str()) == 0) {
    return ok();
  }
  if (errno == ENOENT) {
    THAW_TRY_VOID(os::make_folders(cwd));
    if (::chdir(cwd.c_str()) == 0) {
      return ok();
    }
  }
  return Error::from_errno(errno, "enter the working folder " + cwd);
}

Result<void> become(const UserIds& ids, Profile profile, const SystemCallFilter& filter) {
  const std::uint64_t kept = kept_capabilities(profile);
  THAW_TRY_VOID(bound_capabilities(kept));
  if (profile == Profile::function && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error::from_errno(errno, "forbid new privileges");
  }
  THAW_TRY_VOID(apply_filter(filter));
  if (::setgroups(ids.groups.size(), ids.groups.data()) != 0 ||
      ::setresgid(ids.gid, ids.gid, ids.gid) != 0 || ::setresuid(ids.uid, ids.uid, ids.uid) != 0) {
    return Error::from_errno(errno, "change the user");
  }
  return drop_capabilities(ids.uid == 0 ? kept : 0);
}

std::string value_of(const std::vector<std::string>& env, const std::string& name) {
  for (const std::string& entry : env) {
    if (entry.starts_with(name + "=")) {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

std::vector<std::string> candidates(const SandboxSpec& spec) {
  const std::string& program = spec.argv[0];
  if (program.find('/') != std::string::npos) {
    return {program};
  }
  std::string path = value_of(spec.env, "PATH");
  if (path.empty()) {
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  }
  std::vector<std::string> found;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    if (end > start) {
      found.push_back(path.substr(start, end - start) + "/" + program);
    }
    start = end + 1;
  }
  return found;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) {
    list.push_back(const_cast<char*>(text.c_str()));
  }
  list.push_back(nullptr);
  return list;
}

// Returns only if it failed.
Error execute(const SandboxSpec& spec, const UserIds& ids) {
  std::vector<std::string> env = spec.env;
  if (value_of(env, "HOME").empty()) {
    env.push_back("HOME=" + ids.home);
  }
  const auto argv = pointers(spec.argv);
  const auto envp = pointers(env);
  int failure = ENOENT;
  const auto now = monotonic_now().time_since_epoch();
  write_all(report_number,
            Writer().number(static_cast<std::uint64_t>(Duration(now).count())).bytes());
  for (const std::string& path : candidates(spec)) {
    ::execve(path.c_str(), argv.data(), envp.data());
    if (errno != ENOENT && errno != ENOTDIR) {
      failure = errno;
    }
  }
  return Error::from_errno(failure, "run " + spec.argv[0] + " in the sandbox");
}

Result<UserIds> prepare(const SandboxSpec& spec, const SystemCallFilter& filter,
                        const MainProgramFds& fds) {
  reset_signals();
  ::setsid();
  THAW_TRY_VOID(arrange_descriptors(fds));
  os::close_from(report_number + 1);
  // Above the server's own, so that a host short of memory takes from sandboxes first.
  THAW_TRY_VOID(os::write_text("/proc/self/oom_score_adj", "500"));
  THAW_TRY_VOID(set_limits());
  THAW_TRY(UserIds ids, find_user(spec.user));
  THAW_TRY_VOID(enter_folder(spec.cwd));
  THAW_TRY_VOID(become(ids, spec.profile, filter));
  return ids;
}

}  // namespace

void run_main_program(const SandboxSpec& spec, const SystemCallFilter& filter, MainProgramFds fds) {
  auto ids = prepare(spec, filter, fds);
  if (!ids) {
    write_all(report_number, Writer().number(0).bytes() + encode_failure(ids.error()));
    ::_exit(126);
  }
  const Error failure = execute(spec, *ids);
  write_all(report_number, encode_failure(failure));
  ::_exit(127);
}

}  // namespace thaw::sandbox::detail
