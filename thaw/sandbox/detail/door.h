// SPDX-License-Identifier: Apache-2.0
//
// A door of a sandbox: a listening socket in its own network, for programs that look for a server
// at an address and know no other. Whoever builds the sandbox makes it, before its program runs,
// and gives it away to the server: what connects there is that sandbox, whatever its address.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

// Listens at 127.0.0.1 of this process's network, whose "lo" is up, and sends the socket over
// `report`. Nothing of it stays here.
Result<void> open_door(const os::Fd& report, std::uint16_t port);

}  // namespace thaw::sandbox::detail
