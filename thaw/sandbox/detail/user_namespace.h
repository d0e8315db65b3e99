// SPDX-License-Identifier: Apache-2.0
//
// A user namespace with a range of ids of its own: root in it is nobody on the machine, what is
// made in it (pid, mount, network namespaces) belongs to it, a capability held in it reaches only
// that, and what the kernel counts by user is counted for it alone. A booted sandbox has one of its
// own; a workspace has one for its templates, which keep CAP_SYS_ADMIN in it, and their forks.
// Where the machine cannot have ranges (own_ids.h) every id is itself, and only templates and forks
// live in one. Held by descriptor.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/id_ranges.h"

namespace thaw::sandbox::detail {

// Not valid(): every id is itself.
Result<os::Fd> make_user_namespace(IdRange range);

// A network namespace that `user_namespace` owns, with nothing but "lo" in it. Only for
// single-threaded processes.
Result<os::Fd> make_network_namespace(const os::Fd& user_namespace);

struct Born {
  os::Fd pidfd;
};

// A child in new `namespaces` (CLONE_NEW…) that `user_namespace` owns; it is root in there and runs
// `body`, which does not return. Its parent is nobody that lives on, so it is reparented to
// the reaper of the pid namespace that this process gives its children. Only for single-threaded
// processes.
Result<Born> give_birth(const os::Fd& user_namespace, std::uint64_t namespaces, void (*body)(void*),
                        void* argument);

}  // namespace thaw::sandbox::detail
