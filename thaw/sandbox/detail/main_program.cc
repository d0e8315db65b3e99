// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/main_program.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>

#include "thaw/os/files.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/user_lookup.h"

namespace thaw::sandbox::detail {

namespace {

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<void> arrange_descriptors(const Surroundings& fds) {
  THAW_TRY(const os::Fd null, os::open_file("/dev/null", O_RDONLY));
  const int input = fds.input >= 0 ? fds.input : null.get();
  if (::dup2(input, 0) < 0 || ::dup2(fds.output, 1) < 0 || ::dup2(fds.error, 2) < 0) {
    return Error::from_errno(errno, "arrange descriptors");
  }
  if (fds.input_is == Surroundings::Input::terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) {
    return Error::from_errno(errno, "take over the terminal");
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

Result<void> become(const UserIds& ids, Profile profile, Ids whose) {
  const std::uint64_t kept = kept_capabilities(profile, whose);
  THAW_TRY_VOID(bound_capabilities(kept));
  if (profile != Profile::build && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error::from_errno(errno, "forbid new privileges");
  }
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

// Above the server's own, so that a host short of memory takes from sandboxes first. Of a process
// that cannot be looked into the file is the machine's root's, which in a range of ids nobody is.
// Nothing of a stranger's runs yet.
Result<void> be_taken_first() {
  const bool was_dumpable = ::prctl(PR_GET_DUMPABLE) == 1;
  ::prctl(PR_SET_DUMPABLE, 1);
  auto written = os::write_text("/proc/self/oom_score_adj", "500");
  ::prctl(PR_SET_DUMPABLE, was_dumpable ? 1 : 0);
  return written;
}

struct Launch {
  const SandboxSpec& spec;
  Surroundings surroundings;
  UserIds ids;
  std::vector<std::string> paths;
  std::vector<char*> argv;
  std::vector<char*> env;
  Instant started{};
  std::optional<Error> failure;
};

Result<void> prepare(const Launch& launch) {
  reset_signals();
  ::setsid();
  ::setpriority(PRIO_PROCESS, 0, launch.surroundings.niceness);
  THAW_TRY_VOID(arrange_descriptors(launch.surroundings));
  os::close_from(3);
  THAW_TRY_VOID(be_taken_first());
  THAW_TRY_VOID(set_limits());
  THAW_TRY_VOID(enter_folder(launch.spec.cwd));
  return become(launch.ids, launch.spec.profile, launch.surroundings.ids);
}

// In the child. Returns only if it failed.
int execute(void* argument) {
  Launch& launch = *static_cast<Launch*>(argument);
  if (auto prepared = prepare(launch); !prepared) {
    launch.failure = std::move(prepared).error();
    return 126;
  }
  launch.started = monotonic_now();
  int failure = ENOENT;
  for (const std::string& path : launch.paths) {
    ::execve(path.c_str(), launch.argv.data(), launch.env.data());
    if (errno != ENOENT && errno != ENOTDIR) {
      failure = errno;
    }
  }
  launch.failure = Error::from_errno(failure, "run " + launch.spec.argv[0] + " in the sandbox");
  return 127;
}

}  // namespace

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

Result<MainProgram> start_main_program(const SandboxSpec& spec, Surroundings surroundings) {
  THAW_TRY(UserIds ids, find_user(spec.user, surroundings.ids));
  std::vector<std::string> env = spec.env;
  if (value_of(env, "HOME").empty()) {
    env.push_back("HOME=" + ids.home);
  }
  Launch launch{spec,         surroundings, std::move(ids), candidates(spec), pointers(spec.argv),
                pointers(env)};
  THAW_TRY(const pid_t pid, os::run_in_borrowed_memory(execute, &launch));
  if (launch.failure) {
    return *launch.failure;
  }
  return MainProgram{pid, launch.started};
}

}  // namespace thaw::sandbox::detail
