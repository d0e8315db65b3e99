// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/spawner_launch.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "thaw/os/message.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/spawner_process.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox {

namespace {

constexpr const char* program_name = "thaw-spawner";
constexpr int control_number = 3;

}  // namespace

namespace detail {

namespace {

struct SpawnActions {
  SpawnActions() { ::posix_spawn_file_actions_init(&actions); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t actions;
};

// Nothing of the server's is open there but the control socket, and stderr for warnings.
Result<pid_t> run_self(const os::Fd& control) {
  // Out of the way of the number that it gets.
  const os::Fd source(::fcntl(control.get(), F_DUPFD_CLOEXEC, control_number + 1));
  if (!source.valid()) {
    return Error::from_errno(errno, "copy a descriptor");
  }
  SpawnActions to;
  ::posix_spawn_file_actions_addopen(&to.actions, 0, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&to.actions, 0, 1);
  ::posix_spawn_file_actions_adddup2(&to.actions, source.get(), control_number);
  ::posix_spawn_file_actions_addclosefrom_np(&to.actions, control_number + 1);
  char name[32];
  std::snprintf(name, sizeof name, "%s", program_name);
  char* const arguments[] = {name, nullptr};
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, "/proc/self/exe", &to.actions, nullptr, arguments, environ);
  if (failed != 0) {
    return Error::from_errno(failed, "run this program as its spawner");
  }
  return pid;
}

}  // namespace

Result<LaunchedSpawner> launch_spawner(const SpawnerOptions& options, Succession succession,
                                       const os::Fd& lock, const os::Fd& membership,
                                       const std::string& key) {
  THAW_TRY(auto pair, os::make_message_pair());
  Writer task(Kind::begin);
  task.number(static_cast<std::uint64_t>(::getpid()));
  task.number(succession == Succession::next ? 1 : 0);
  task.text(encode(options)).text(key);
  THAW_TRY([[maybe_unused]] const os::Transfer sent,
           os::send_message(pair.first.get(), task.bytes(), {lock.get(), membership.get()}));
  LaunchedSpawner launched;
  THAW_TRY(launched.pid, run_self(pair.second));
  launched.process = os::Fd(static_cast<int>(::syscall(SYS_pidfd_open, launched.pid, 0)));
  launched.control = std::move(pair.first);
  if (!launched.process.valid()) {
    return Error::from_errno(errno, "hold the spawner process");
  }
  return launched;
}

}  // namespace detail

bool is_to_be_spawner(int argc, char** argv) {
  return argc == 1 && std::strcmp(argv[0], program_name) == 0;
}

int run_as_spawner() {
  os::Message message;
  const auto received = os::receive_message(control_number, message);
  detail::Reader reader(message.bytes);
  if (!received || *received != os::Transfer::done || reader.kind() != detail::Kind::begin ||
      message.fds.size() != 2) {
    std::fprintf(stderr, "%s is run by `thaw serve` and by nobody else\n", program_name);
    return 2;
  }
  const int server = static_cast<int>(reader.number());
  const auto succession =
      reader.number() == 1 ? detail::Succession::next : detail::Succession::first;
  const auto options = detail::decode_options(reader.text());
  std::string key = reader.text();
  auto layout = os::CgroupLayout::detect();
  if (!options || !layout) {
    return 1;
  }
  detail::SpawnerProcess process(*options, std::move(*layout), os::Fd(control_number), server);
  process.hold(std::move(message.fds[0]), std::move(message.fds[1]), std::move(key));
  return process.run(succession);
}

}  // namespace thaw::sandbox
