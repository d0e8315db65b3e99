// SPDX-License-Identifier: Apache-2.0
//
// What a container has open, seen from outside: its processes are those of its pid namespace, and
// /proc shows their descriptors and folders by the container's own paths. Blocks shortly; a pool
// thread's work.
#pragma once

#include <string>
#include <vector>

namespace thaw::worker {

// Says of one file or working folder below one of `folders` that it is in use, and by which
// program; empty if there is none. `pid`: any process of the container, in the host's numbers.
std::string describe_open_file(int pid, const std::vector<std::string>& folders);

}  // namespace thaw::worker
