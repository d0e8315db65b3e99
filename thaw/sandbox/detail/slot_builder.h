// SPDX-License-Identifier: Apache-2.0
//
// Builds a sandbox that lives in a user namespace: a booted or restored one in its own, a template,
// and one whose program is forked from a template, in their workspace's. Each is built by a child
// of the spawner with all its powers, so that the spawner never waits, and in parallel: while the
// template forks into the new pid namespace, the root is built. A spare is built up to there and
// waits for its order: until then it has neither files nor output, only what every container of its
// template has. Everything a template says is a stranger's word: every wait has an end, and who
// announces itself is looked at from outside (its pid namespace, its parent, its capabilities, its
// filters) before the first line of user code runs.
#pragma once

#include <string>
#include <vector>

#include "thaw/os/cgroup.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/criu.h"
#include "thaw/sandbox/detail/root_folder.h"
#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct SlotPlan {
  SandboxSpec spec;
  SystemCallFilter filter;  // of PID 1 and the program
  RootFolders folders;
  os::Cgroup cgroup;
  os::Fd spawner;  // pidfd
  os::Fd user_namespace;
  IdRange range;                // its ids; none: the machine's
  os::Fd network_namespace;     // none: a new one without links, or the host's
  std::string reach_rules;      // to be written in that network first; may be empty
  os::Fd parent_pid_namespace;  // the template's; none: the host's
  os::Fd control;  // template: its end of its control socket; else the way to the template
  os::Fd report;
  os::Fd standard_output;
  os::Fd standard_error;
  os::Fd births;  // to the spawner: pidfd and pid namespace of PID 1
  os::Fd orders;  // of a spare: where it says that it is ready, and then gets what it is for
  Criu criu;      // for a restore
  int niceness = 0;

  // All that stands in it: what else its spawner has open is nothing to a builder, which may wait
  // for long, nor to what is born of it.
  std::vector<int> descriptors() const;
};

[[noreturn]] void build_slot(SlotPlan plan);

}  // namespace thaw::sandbox::detail
