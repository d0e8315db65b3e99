// SPDX-License-Identifier: Apache-2.0
//
// PID 1 of a sandbox that lives in a user namespace: of one that is booted or restored, in its own;
// of a template, whose program it starts and outlives, and of what is forked from one, whose
// program is given to it as a child, in their workspace's. It cannot build its own root (that takes
// powers over the host), so it waits in its cradle for slot_builder.h to do so. The conversation
// over the cradle, a message pair:
//   slot: born + its pid, uts, ipc, net namespaces, as its first step: the builder waits for it
//   builder: begin, when the slot is in its cgroup and the one that made it has ended
//   builder: rooted{host name}     slot: housed + its mnt and cgroup namespaces
//   builder: adopt{pid}            slot: adopted            (only what is forked)
//   builder: the end, when nothing of its own is in the slot's pid namespace any more
// Between `born` and `rooted` a spare waits for its order, whose report socket comes with `rooted`.
// The end of the cradle before that is the end of the slot. Namespaces travel as descriptors,
// because nobody may open those of a process that cannot be traced.
#pragma once

#include <csignal>
#include <cstdint>
#include <string_view>

#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/criu.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

enum class Cradle : std::uint64_t { begin = 1, born, rooted, housed, adopt, adopted, failed };

struct Slot {
  const SandboxSpec& spec;
  const SystemCallFilter& filter;
  os::Fd cradle;
  int builders_end = -1;  // of the cradle, inherited and to be closed
  os::Fd host_proc;       // the host's /proc, to find its own namespaces
  os::Fd spawner;         // pidfd: PID 1 must not outlive it
  os::Fd report;          // of a spare: none yet
  os::Fd births;          // never used: its end tells the spawner that PID 1 is about to end
  os::Fd control;         // of a template: its program's standard input
  os::Fd standard_output;
  os::Fd standard_error;
  int niceness = 0;
  Ids ids = Ids::of_machine;
  Criu criu;  // for a restore
};

[[noreturn]] void run_slot(Slot& slot);

// The next message must be `wanted`; not a message of `later` patience for ever: until `deadline`.
Result<os::Message> expect(const os::Fd& cradle, Cradle wanted, Instant deadline);
Result<void> say(const os::Fd& cradle, Cradle what, const std::vector<int>& fds = {},
                 std::uint64_t number = 0, std::string_view text = {});

}  // namespace thaw::sandbox::detail
