// SPDX-License-Identifier: Apache-2.0
//
// What is published of an image that is pushed in the place of a folder: what was asked for, and
// what its name says. The rest the server finds in the image. Pure.
#pragma once

#include <string>

#include "thaw/cli/verbs.h"
#include "thaw/codec/json.h"

namespace thaw::cli {

// Fills in the name, and the preset where the image's name gives it away. invalid_argument for
// options that cannot be.
Result<codec::Json> image_definition(PushOptions& options);

}  // namespace thaw::cli
