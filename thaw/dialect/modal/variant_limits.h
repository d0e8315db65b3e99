// SPDX-License-Identifier: Apache-2.0
//
// Which bound variants there may be, and how many. Each is a function that the server knows until
// its version is replaced and nobody asks for it any more. Pure; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/catalog/records.h"
#include "thaw/dialect/modal/proto/functions.pb.h"
#include "thaw/gateway/access.h"

namespace thaw::dialect::modal {

// Of one function. Anybody who reaches an address can ask for another set of parameters by it.
inline constexpr std::size_t most_variants_by_url = 1'000;
inline constexpr std::size_t most_variants = 20'000;
// Of all functions of an app; it is looked through for each that is new.
inline constexpr std::size_t most_variants_of_app = 50'000;

// Whether there may be one more of `base`; `of_app`: all functions of its app. resource_exhausted
// names the limit.
Result<void> admit_variant(const std::vector<std::shared_ptr<const catalog::Function>>& of_app,
                           const model::FunctionSpec& base, std::size_t most);

// Options bring files and variables into the program, and what it is told by these it does with its
// function's reach. permission_denied: the function has more of it than who asks.
Result<void> check_reach_of_options(const gateway::Identity& who, const model::FunctionSpec& base,
                                    const ::modal::client::FunctionOptions& options);

}  // namespace thaw::dialect::modal
