// SPDX-License-Identifier: Apache-2.0
//
// PID 1 of a sandbox, from its birth in new namespaces to its end: it builds the root, gives up
// every power it does not need, starts the main program as its child, passes signals on, reaps
// orphans, and reports how the main program ended. Its own end takes the whole tree with it.
#pragma once

#include <csignal>
#include <cstdint>

#include "thaw/os/cgroup.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/criu.h"
#include "thaw/sandbox/detail/root_folder.h"
#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct FirstProcess {
  SandboxSpec spec;
  SystemCallFilter filter;
  RootFolders folders;
  os::Cgroup cgroup;
  bool joins_cgroup = true;  // false: was born inside
  os::Fd spawner;            // pidfd: PID 1 must not outlive it
  os::Fd network_namespace;  // to enter; none: stay
  os::Fd report;             // messages of wire.h
  os::Fd standard_output;
  os::Fd standard_error;
  int niceness = 0;  // the server's
  Criu criu;         // for a restore
};

[[noreturn]] void run_first_process(FirstProcess self);

// Steps of any PID 1 of ours.
[[noreturn]] void give_up(const os::Fd& report, const Error& error);
// Ties this process to the spawner, given its pidfd.
Result<void> die_with(const os::Fd& spawner);
// Keys of the host's session are not the sandbox's.
Result<void> join_new_keyring();
// Tells that the main program runs, and then has no more niceness and powers than PID 1 needs:
// `powers`, as capabilities.
void tell_started(const os::Fd& report, Instant started, int niceness, std::uint64_t powers);
// Of a PID 1 that passes signals on and reaps.
inline constexpr std::uint64_t supervising_powers = std::uint64_t{1} << 5;  // CAP_KILL
// Reaps until the main program has ended; returns its wait status. `all` signals are blocked and
// taken one by one, so that none is lost between two of them.
int supervise(pid_t main_program, const sigset_t& all);

}  // namespace thaw::sandbox::detail
