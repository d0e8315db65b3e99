// SPDX-License-Identifier: Apache-2.0
//
// This process's own memory: how much it may have, and giving back what it does not use. The
// allocator keeps what was freed, for the next time; after a burst of large messages that would be
// for ever.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/result.h"
#include "thaw/os/cgroup.h"

namespace thaw::os {

// The least of the machine's memory and the limits of the cgroups that this process is in.
Result<std::uint64_t> own_memory_limit(const CgroupLayout& layout);
// The group of a process in the hierarchy of the memory controller, from its /proc/PID/cgroup;
// empty: none is told.
std::string memory_group_of(CgroupLayout::Version version, const std::string& proc_cgroup);

// What of this process is in memory.
Result<std::uint64_t> own_resident_bytes();

// Once, before other threads: a large block is mapped for itself, and goes back when it is freed,
// whatever sizes were freed before.
void steady_allocator();
// Gives free memory back to the system. Blocks for as long as that takes, also those who allocate.
void give_memory_back();

}  // namespace thaw::os
