// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/os/fd.h"

namespace thaw::image {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& item : strings) {
    out.push_back(const_cast<char*>(item.c_str()));
  }
  out.push_back(nullptr);
  return out;
}

struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<int> run_program(const Program& program,
                        const std::function<void(std::string_view)>& on_output,
                        const std::atomic<bool>& stop) {
  std::vector<std::string> argv = {"setpriv", "--pdeathsig", "KILL"};
  if (program.isolation == Program::Isolation::own_tree) {
    argv.insert(argv.end(), {"unshare", "--mount", "--pid", "--fork", "--kill-child"});
  }
  argv.insert(argv.end(), program.argv.begin(), program.argv.end());

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error::from_errno(errno, "make a pipe");
  }
  const os::Fd reader(ends[0]);
  os::Fd writer(ends[1]);
  SpawnSettings settings;
  ::posix_spawn_file_actions_addopen(&settings.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.actions, writer.get(), 1);
  ::posix_spawn_file_actions_adddup2(&settings.actions, writer.get(), 2);
  sigset_t none;
  ::sigemptyset(&none);
  sigset_t all;
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all);
  ::posix_spawnattr_setpgroup(&settings.attributes, 0);
  ::posix_spawnattr_setflags(
      &settings.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, argv[0].c_str(), &settings.actions, &settings.attributes,
                                    pointers(argv).data(), pointers(program.env).data());
  if (failed != 0) {
    return Error::from_errno(failed, "start " + program.argv[0] + " by setpriv (util-linux)");
  }
  writer.reset();
  const Instant end =
      program.time_limit > Duration::zero() ? monotonic_now() + program.time_limit : Instant::max();
  char piece[8192];
  while (true) {
    const bool late = monotonic_now() >= end;
    if (stop || late) {
      ::kill(-pid, SIGKILL);
      wait_for(pid);
      return late ? Error::deadline_exceeded(program.argv[0] + " was ended at its time limit")
                  : Error::cancelled(program.argv[0] + " was stopped");
    }
    pollfd ready{reader.get(), POLLIN, 0};
    const int n_ready = ::poll(&ready, 1, 100);
    if (n_ready <= 0) {
      continue;
    }
    const ssize_t n = ::read(reader.get(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      break;
    }
    on_output(std::string_view(piece, static_cast<std::size_t>(n)));
  }
  return wait_for(pid);
}

}  // namespace thaw::image
