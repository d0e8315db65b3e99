// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/restore.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "thaw/os/files.h"
#include "thaw/sandbox/detail/page_trust.h"
#include "thaw/sandbox/detail/shared_files.h"

namespace thaw::sandbox::detail {

namespace {

std::uint64_t bytes_of(const os::Fd& folder) {
  std::uint64_t bytes = 0;
  for (const std::string& name : os::list_folder("/proc/self/fd/" + std::to_string(folder.get()))) {
    struct stat status {};
    if (::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      bytes += static_cast<std::uint64_t>(status.st_size);
    }
  }
  return bytes;
}

}  // namespace

Result<MainProgram> restore_main_program(const Criu& criu, const RestoreFrom& from,
                                         Surroundings surroundings) {
  const Instant started = monotonic_now();
  THAW_TRY_VOID(bring_back_shared_files(criu.images));
  CriuRun run;
  run.arguments = {"restore", "--restore-detached"};
  const auto give = [&run](int number, std::uint64_t pipe) {
    if (pipe != 0) {
      run.arguments.emplace_back("--inherit-fd");
      run.arguments.push_back("fd[" + std::to_string(number) + "]:pipe:[" + std::to_string(pipe) +
                              "]");
    }
  };
  if (criu.maps_pages && !are_pages_read(criu.images)) {
    run.arguments.emplace_back("--map-pages");
  }
  give(criu_output, from.checkpoint.stdout_pipe);
  give(criu_error, from.checkpoint.stderr_pipe);
  run.output = surroundings.output;
  run.error = surroundings.error;
  run.niceness = surroundings.niceness;
  // It spins for ever on pages that end too early. Memory fills at a few hundred MB a second.
  constexpr std::uint64_t bytes_per_ms = 50'000;
  run.longest_ms = 15'000 + static_cast<int>(bytes_of(criu.images) / bytes_per_ms);
  THAW_TRY_VOID(run_criu(criu, std::move(run)));
  if (::kill(first_pid, from.signal) != 0) {
    return Error::failed_precondition("the restored program has ended at once");
  }
  return MainProgram{first_pid, started};
}

}  // namespace thaw::sandbox::detail
