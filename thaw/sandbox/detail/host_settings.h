// SPDX-License-Identifier: Apache-2.0
//
// The few settings of the whole machine that sandboxes need, shared by all servers on it: the
// first to come notes what was before and changes them, the last to leave restores them. A server
// is alive while it holds the lock of its file in /run/thaw/servers; files without a holder name
// killed servers whose traces anybody may remove.
//   net.ipv4.ip_forward  containers reach the outside
//   favordynmods         of cgroups: moving a process into a v1 cgroup else waits 15 ms for RCU
#pragma once

#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

// Where servers of this machine know of each other; `servers` has a file for each.
std::string machine_folder(const std::string& name);

// Held while several servers must not look or change at once (subnets, settings).
Result<os::Fd> lock_machine();

// Announces the server. Keep the descriptor until the server's end. already_exists when a living
// server has this name; waits while somebody removes what an earlier one of this name has left.
Result<os::Fd> join_machine(const std::string& instance);
// Says in the server's file (of join_machine) which network is its own, "172.22.48.1/20": while its
// spawner is being replaced, the network is on no link and is nobody else's all the same.
void note_network(const os::Fd& membership, const std::string& network);
// Those of the other servers that live. Call with lock_machine() held.
std::vector<std::string> networks_of_others(const std::string& instance);
// Keeps the name from being taken while what a killed server has left is removed. already_exists
// when it lives.
Result<os::Fd> hold_dead_server(const std::string& instance);
// Forgets the server; restores the settings if no other is alive. Call with lock_machine() held.
void leave_machine(const std::string& instance);
// Servers that were killed. Takes lock_machine(): one that is just joining is not dead.
Result<std::vector<std::string>> dead_servers();
Result<std::vector<std::string>> living_servers();

// Both are harmless to repeat. Call with lock_machine() held.
Result<void> switch_on_forwarding();
void favor_moving_between_cgroups();

}  // namespace thaw::sandbox::detail
