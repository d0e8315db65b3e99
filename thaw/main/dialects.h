// SPDX-License-Identifier: Apache-2.0
//
// The clouds that this server speaks: the one place that names them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "thaw/gateway/dialect.h"
#include "thaw/main/configuration.h"

namespace thaw::main_program {

// What makes all dialects of a server; the first one also has what was stored before versions named
// their dialect.
using MakeDialects = std::function<std::vector<std::unique_ptr<gateway::Dialect>>(
    const gateway::Owners& owners, const Configuration& configuration)>;

// Those of `thaw`: a MakeDialects.
std::vector<std::unique_ptr<gateway::Dialect>> make_dialects(const gateway::Owners& owners,
                                                             const Configuration& configuration);

}  // namespace thaw::main_program
