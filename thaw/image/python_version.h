// SPDX-License-Identifier: Apache-2.0
//
// Which Python an image has at /usr/local/bin/python, found by looking, without running it.
#pragma once

#include <string>

#include "thaw/image/root_tree.h"

namespace thaw::image {

// "3.11", or empty.
std::string find_python_version(const RootTree& tree);

}  // namespace thaw::image
