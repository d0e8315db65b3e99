// SPDX-License-Identifier: Apache-2.0
//
// Bind: a folder or file that a container finds at a path of its own. A value; `source` is a name
// that each worker looks up in its own folders (sources.h).
#pragma once

#include <string>

#include "thaw/sandbox/sandbox.h"

namespace thaw::worker {

struct Bind {
  using Access = sandbox::BindMount::Access;
  std::string source;
  std::string target;  // absolute, inside; made if missing
  Access access = Access::read_only;
  std::string inside = {};  // only this folder below the source, which a user may have written
};

}  // namespace thaw::worker
