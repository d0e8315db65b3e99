// SPDX-License-Identifier: Apache-2.0
//
// What a launch plan says about memory snapshots, and who may read a container's own files. Plain
// values.
#pragma once

#include <string>

namespace thaw::worker {

// Which users of a container may use what it shares with this server. Nobody outside of it can: the
// folder of all containers is the machine's root's alone.
enum class InsideUsers { root, all };

// What a restored program gets, if what runs in it asked for it: kits and dialects' runtimes wait
// for this one.
inline constexpr int restored_signal = 61;

// Of a function whose program has a snapshot point.
struct SnapshotPoint {
  int restored_signal = 0;  // that it gets once it is restored; 0: none
  std::string file_name;    // in the container's folder; does not exist before. Empty: none
  std::string file_bytes;   // at most a page
  // What renews it after a restore: its own runtime, or what the worker's kits put into it.
  enum class Renewal { own, of_kits } renewal = Renewal::own;
};

}  // namespace thaw::worker
