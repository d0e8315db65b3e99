// SPDX-License-Identifier: Apache-2.0
//
// What is published of a pushed folder, as docs/reference/api.md has it: what was asked for, and
// what the folder says by itself. Pure.
#pragma once

#include <string>
#include <string_view>

#include "thaw/cli/push_folder.h"
#include "thaw/cli/verbs.h"
#include "thaw/codec/json.h"

namespace thaw::cli {

// Fills in the preset, the port and the name where nothing was said, and tells why it is that
// preset. `folder_name`: for the function's. invalid_argument for a preset that is none.
Result<std::string> fill_in(PushOptions& options, const FolderContents& contents,
                            std::string_view dockerfile, std::string_view folder_name);

// invalid_argument for an option that cannot be understood. What was not said is left out.
Result<codec::Json> definition_of(const PushOptions& options, const FolderContents& contents,
                                  const std::string& dockerfile);

}  // namespace thaw::cli
