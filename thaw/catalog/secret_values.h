// SPDX-License-Identifier: Apache-2.0
//
// What is sealed in a secret: names and values of environment variables.
#pragma once

#include <string>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/model/app.h"
#include "thaw/store/secret_box.h"

namespace thaw::catalog {

// An object of texts by name. data_loss when it does not open with this key, or holds else.
Result<codec::Json> open_secret(const store::SecretBox& box, const model::Secret& secret);
// invalid_argument for a name or a value that no environment variable can have. Sets keys and what
// is sealed.
Result<void> seal_secret(const store::SecretBox& box, const codec::Json& values,
                         model::Secret& secret);
// "NAME=value" entries, for a container.
Result<std::vector<std::string>> secret_env(const store::SecretBox& box,
                                            const model::Secret& secret);

}  // namespace thaw::catalog
