// SPDX-License-Identifier: Apache-2.0
//
// thaw worker-config: what a workerd of one's own needs to reach this server's models.
#pragma once

#include <string>

#include "thaw/cli/verbs.h"

namespace thaw::cli {

// `token`: the key in it; empty: that of `thaw env`.
int show_worker_config(const Where& where, const std::string& token);

}  // namespace thaw::cli
