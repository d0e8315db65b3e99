// SPDX-License-Identifier: Apache-2.0
//
// Packet rules are written by the program `nft`, a plain child: whoever asks is single-threaded and
// waits for it.
#pragma once

#include <string>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

// Runs `nft -f -` with `text`, in that network or, if there is none, in one's own.
// failed_precondition: there is no such program, or it refuses the rules.
Result<void> run_nft(const std::string& text, const os::Fd& network_namespace = {});

}  // namespace thaw::sandbox::detail
