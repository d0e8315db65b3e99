// SPDX-License-Identifier: Apache-2.0
//
// Cgroups of both kinds behind one face. On v1 a group is one folder in each of the parallel
// hierarchies (cpu, cpuacct, memory, pids, freezer); on v2 it is one folder. CgroupLayout is found
// once; a Cgroup is a name below the hierarchies' roots, "thaw-ab12/ta-1", and owns nothing: it is
// removed by calling remove().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

struct CgroupLimits {
  std::uint64_t memory_bytes = 0;  // 0: none
  std::uint32_t cpu_millis = 0;    // 1000 = one core; 0: none
  std::uint32_t pids = 0;          // 0: none
};

struct CgroupUsage {
  std::uint64_t memory_bytes = 0;
  std::uint64_t peak_memory_bytes = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t out_of_memory_kills = 0;
};

struct CgroupLayout {
  enum class Version { v1, v2 } version = Version::v2;
  // v2: the mount point alone. v1: one folder per hierarchy (co-mounted controllers share one).
  std::vector<std::string> hierarchies;
  // Mount points by controller; on v2 all the same. Empty: this machine has none.
  std::string memory, cpu, cpuacct, pids, freezer;

  // From /proc/self/mountinfo; failed_precondition names the controller that is missing.
  static Result<CgroupLayout> detect();
  static Result<CgroupLayout> parse(const std::string& mountinfo);
};

class Cgroup {
 public:
  Cgroup() = default;
  Cgroup(CgroupLayout layout, std::string name)
      : layout_(std::move(layout)), name_(std::move(name)) {}

  // Makes the folders; on v2 hands the controllers down if the group is to have children.
  enum class Role { parent, leaf };
  Result<void> make(Role role) const;
  Result<void> limit(const CgroupLimits& limits) const;
  // As if none had been set.
  Result<void> lift_memory_limit() const;
  Result<void> add(int pid) const;
  // The files that add() writes a pid to, for who will do so where no path leads to them.
  Result<std::vector<Fd>> open_processes() const;
  // v2 only: the folder, for clone_process; invalid on v1.
  Result<Fd> open_for_clone() const;
  CgroupUsage usage() const;
  std::uint64_t out_of_memory_kills() const;
  std::uint64_t cpu_us() const;  // alone, for who asks often; children's included
  // How much of the processors it gets against its neighbours while all of them want more than
  // there is: 1 is what a new group has.
  Result<void> weigh(double weight) const;
  std::vector<int> processes() const;
  // Takes another name, with all that is inside. The processor time that was used does not count
  // any more. On v2, where groups keep their names, processes move into a new group instead, and
  // what memory they have stays counted where it was.
  Result<void> become(std::string name);
  // Asks the kernel to stop every process inside, and those that these start; nobody inside can
  // tell. They have stopped when is_frozen() says so: in 0.1 ms if all can be interrupted.
  // failed_precondition where the machine has no freezer.
  Result<void> freeze() const;
  // Lets them go on, also those that were not stopped yet. Waits for nothing.
  Result<void> thaw() const;
  bool is_frozen() const;
  // The folder whose file freezes and thaws it, for who will do so where no path leads to it.
  Result<Fd> open_freezer() const;
  // Asks the kernel to free up to that much memory of the group (on v1: what it can): what is in
  // files, and where there is swap the rest too. Waits for the disk.
  Result<void> reclaim(std::uint64_t bytes) const;
  // Kills what is inside, once, also what is frozen; processes die a little later.
  void kill() const;
  // Removes the folders and those of children; resource_exhausted while a process is inside.
  Result<void> remove() const;

  const std::string& name() const { return name_; }

 private:
  std::string path(const std::string& hierarchy, const char* file) const;

  CgroupLayout layout_;
  std::string name_;
};

// Names of groups at the top of the hierarchies that start with `prefix`.
// tidy(unused): what a test of the end of a server counts
std::vector<std::string> top_cgroups(const CgroupLayout& layout, const std::string& prefix);

}  // namespace thaw::os
