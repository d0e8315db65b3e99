// SPDX-License-Identifier: Apache-2.0
//
// What a killed server left behind, found by the record that it wrote into its folder: the names
// of its instances. Everything in the kernel carries such a name.
#pragma once

#include <string>

#include "thaw/base/result.h"
#include "thaw/os/cgroup.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

std::string cgroup_name(const std::string& instance);

// Locks the folder for the life of the descriptor (and its copies). failed_precondition when
// another server has it; waits while a dying one tidies up.
Result<os::Fd> lock_folder(const std::string& folder);

// Adds `instance` to the record; call before the first kernel object is made.
Result<void> record_instance(const std::string& folder, const std::string& instance);

// Everything of the folder's recorded instances and of this machine's killed servers: processes,
// cgroups, links, rules, settings; and all private folders.
Result<void> remove_leftovers(const std::string& folder, const os::CgroupLayout& layout);

// One instance's kernel objects: what its end, clean or not, takes away.
Result<void> remove_instance(const std::string& instance, const os::CgroupLayout& layout);

}  // namespace thaw::sandbox::detail
