// SPDX-License-Identifier: Apache-2.0
//
// A user namespace in which every id is itself: it gives nobody another uid, but what is made in
// it (pid, mount, network namespaces) belongs to it, and a capability held in it reaches only
// that. Templates keep CAP_SYS_ADMIN in the one of their workspace. Held by descriptor.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

Result<os::Fd> make_user_namespace();

// A network namespace that `user_namespace` owns, with nothing but "lo" in it. Only for
// single-threaded processes.
Result<os::Fd> make_network_namespace(const os::Fd& user_namespace);

struct Born {
  os::Fd pidfd;
};

// A child in new `namespaces` (CLONE_NEW…) that `user_namespace` owns; it is in there itself and
// runs `body`, which does not return. Its parent is nobody that lives on, so it is reparented to
// the reaper of the pid namespace that this process gives its children. Only for single-threaded
// processes.
Result<Born> give_birth(const os::Fd& user_namespace, std::uint64_t namespaces, void (*body)(void*),
                        void* argument);

}  // namespace thaw::sandbox::detail
