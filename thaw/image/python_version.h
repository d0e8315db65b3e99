// SPDX-License-Identifier: Apache-2.0
//
// Which Python an image has: what `python` means on its PATH, found by looking, without running it.
#pragma once

#include <string>
#include <string_view>

#include "thaw/image/image.h"
#include "thaw/image/root_tree.h"

namespace thaw::image {

// Where the programs of an image are looked for, in order.
std::string path_of(const ImageConfig& config);
// "3.11", or empty.
std::string find_python_version(const RootTree& tree, std::string_view path);

}  // namespace thaw::image
