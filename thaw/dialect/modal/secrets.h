// SPDX-License-Identifier: Apache-2.0
//
// Secrets: names and values for a container's environment, sealed on disk.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "thaw/model/app.h"
#include "thaw/store/secret_box.h"

namespace thaw::dialect::modal {

// "NAME=value" entries.
Result<std::vector<std::string>> secret_env(const store::SecretBox& box,
                                            const model::Secret& secret);

}  // namespace thaw::dialect::modal
