// SPDX-License-Identifier: Apache-2.0
//
// The program by which clients reach files inside a sandbox: tools/container/box_files.cc, which
// travels inside this one and is laid out once in the cache folder, for sandboxes to find where
// their clients look for it. Blocks; for a start of the server.
#pragma once

#include <string>

#include "thaw/worker/bind.h"

namespace thaw::dialect::modal {

// Writes it below `cache_folder`, unless it is there whole, and says how a sandbox gets it.
Result<worker::Bind> lay_out_box_files(const std::string& cache_folder);

}  // namespace thaw::dialect::modal
