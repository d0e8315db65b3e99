// SPDX-License-Identifier: Apache-2.0
//
// How CRIU is run: as root beside files that a tenant wrote, so nothing of the sandbox's root may
// reach into it. It is one static program, run from a descriptor: there is no loader, no library,
// no preload list. Its images, its scratch folder (also its folder of plugins: empty) and its
// cache of kernel facts are descriptors too, so that none of them has a name inside. Its
// environment is a PATH on which there is nothing, so that the programs by which it would look at
// the kernel (iptables, sh) are not found; no configuration file is read. Its capabilities are the
// ones that checkpoints need. It cannot have a system call filter: the kernel lets only a tracer
// without one suspend the filter of what it traces.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

struct Criu {
  os::Fd program;
  os::Fd facts;    // a detached tmpfs: what CRIU learnt about this kernel, kept between runs
  os::Fd images;   // of one run
  os::Fd freezer;  // of a run that writes: the folder of the sandbox's freezer
  // Of a run in a user namespace that is not the machine's, or as the maker of one.
  enum class Powers { of_machine, of_namespace } powers = Powers::of_machine;
  uid_t user = 0;           // to run as
  bool maps_pages = false;  // it has the option of tools/criu-patches/map-pages.patch
};

// Numbers that the arguments below speak of.
inline constexpr const char* criu_images = "/proc/self/fd/3";
inline constexpr const char* criu_scratch = "/proc/self/fd/4";
inline constexpr int criu_output = 6;
inline constexpr int criu_error = 7;
inline constexpr const char* criu_freezer = "/proc/self/fd/8";

// Before any namespace is entered. not_found, saying what to do, when there is no such program.
Result<Criu> open_criu(const std::string& path);

// What it asks the kernel once, before it is in any sandbox: inside it could not make the files by
// which it asks.
void learn_facts(Criu& criu);

// The main program of a sandbox that may be checkpointed has this number in its pid namespace;
// those of what writes or restores it are lower, or later.
inline constexpr int first_pid = 1000;
// In a new pid namespace; by a /proc in which settings can be written.
Result<void> leave_low_pids_free(const os::Fd& proc);

struct CriuRun {
  std::vector<std::string> arguments;
  int output = -1;  // of the main program; -1: not needed
  int error = -1;
  int niceness = 0;
  std::uint64_t max_file_bytes = 0;  // 0: no limit
  int longest_ms = 120'000;
};
// A folder of images, as a mount of its own: what is mapped from there shows no path of the host.
// valid() `user_namespace`: with its ids.
Result<os::Fd> open_images(const std::string& folder, const os::Fd& user_namespace);

// Runs it as a child in this process's namespaces and waits. The Error has what it printed last.
Result<void> run_criu(const Criu& criu, CriuRun run);

}  // namespace thaw::sandbox::detail
