// SPDX-License-Identifier: Apache-2.0
//
// Processes by descriptor: clone into namespaces and a cgroup, pidfds, signals. A pidfd never
// names another process after the first has ended, unlike a pid.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

struct CloneOptions {
  std::uint64_t namespaces = 0;  // CLONE_NEW… flags
  int cgroup = -1;               // folder of a v2 cgroup to be born in, or -1
};

struct Cloned {
  pid_t pid = 0;  // 0: this is the child
  Fd pidfd;       // in the parent only
};

// fork(2) with namespaces. Only for single-threaded processes: the child runs ordinary code.
Result<Cloned> clone_process(const CloneOptions& options);

// vfork(2) for code of any size: a child with its own descriptors, signals and credentials that
// uses this process's memory while this process waits, until it execs or `body` returns its exit
// code. Only for single-threaded processes.
// Descriptors::shared: what it opens is there afterwards too.
enum class Descriptors { own, shared };
Result<pid_t> run_in_borrowed_memory(int (*body)(void*), void* argument,
                                     Descriptors descriptors = Descriptors::own);

// The same for a child that may take long, descriptors shared: this process waits for its end as
// for any child's, since one that is suspended counts as load. The child's wait status.
Result<int> call_in_borrowed_memory(int (*body)(void*), void* argument);

// In the numbers of this process's pid namespace; not_found once it was reaped.
Result<pid_t> pid_of(const Fd& pidfd);

Result<void> send_signal(const Fd& pidfd, int number);

// Whether the process and all its threads have ended, reaped or not. So has one that never was.
bool has_ended(const Fd& pidfd);

// Whether a SIGKILL waits for it, as it does for what cgroups v1 have frozen: it ends before
// anything else of it runs.
bool is_doomed(pid_t pid);

// Overwrites this process's command line with `name` and its environment with nothing: a fork that
// strangers may look at keeps neither of its parent's. Nobody may hold pointers into them.
void forget_arguments(const char* name);

// Closes every descriptor from `first` on.
void close_from(int first);
// Closes every descriptor but these; negative ones stand for none. What owned a closed one still
// names its number: for children that only exec or _exit.
void close_all_but(std::vector<int> kept);

}  // namespace thaw::os
