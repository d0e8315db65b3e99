// SPDX-License-Identifier: Apache-2.0
//
// InjectedFile: a file that a container finds in its own folder, /run/thaw. A value.
#pragma once

#include <string>

namespace thaw::worker {

struct InjectedFile {
  std::string name;
  std::string bytes;
};

}  // namespace thaw::worker
