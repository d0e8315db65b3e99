// SPDX-License-Identifier: Apache-2.0
//
// What a killed server left behind, found by the record that it wrote into its folder: the names
// of its instances. Everything in the kernel carries such a name. Nothing of it keeps a server
// from starting: what cannot be removed is said in the log and tried again at the next start.
#pragma once

#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/cgroup.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

std::string cgroup_name(const std::string& instance);
// Of all sandboxes of a workspace, and of one of them.
std::string cgroup_name(const std::string& instance, const std::string& workspace);
std::string cgroup_name(const std::string& instance, const std::string& workspace,
                        const std::string& id);

// Locks the folder for the life of the descriptor (and its copies). failed_precondition when
// another server has it; waits while a dying one tidies up.
Result<os::Fd> lock_folder(const std::string& folder);

// Adds `instance` to the record; call before the first kernel object is made.
void record_instance(const std::string& folder, const std::string& instance);

// Everything in the kernel of the folder's recorded instances and of this machine's killed
// servers: processes, cgroups, links, rules, settings.
void remove_leftovers(const std::string& folder, const os::CgroupLayout& layout);

// One instance's kernel objects: what its end, clean or not, takes away. The first step that
// fails is told, after all the others.
Result<void> remove_objects(const std::string& instance, const os::CgroupLayout& layout);
// And its name.
Result<void> remove_instance(const std::string& instance, const os::CgroupLayout& layout);

// Private folders go in two steps: out of the way, which takes no time, and then away, which may
// take long or be impossible. What is already aside keeps its place.
void set_aside(const std::string& folder, const std::string& name);
void set_all_aside(const std::string& folder);
std::vector<std::string> list_aside(const std::string& folder);
// Removes what is aside; logs what stays, and why.
void remove_aside(const std::string& folder);

}  // namespace thaw::sandbox::detail
