// SPDX-License-Identifier: Apache-2.0
//
// What the processes of a sandbox hold open that a checkpoint cannot write, said by its name before
// anything is written: the words of what fails later are for those who know CRIU. To be asked
// inside a sandbox's namespaces, while all in it stands still; what is looked at is the tenant's,
// so that it is bounded. Blocking.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::sandbox::detail {

struct HeldObjects {
  // The folders that programs which watch files (inotify) work in: what they watch, which the
  // kernel tells by its number only, is looked for there.
  std::vector<std::string> watching_in;
};

// failed_precondition names the object and whose it is. Of all processes that `proc` shows but PID
// 1.
Result<HeldObjects> look_at_held_objects(const std::string& proc = "/proc");

// What CRIU's words mean, for people; empty: nothing that is known.
std::string explain_criu(std::string_view words);

}  // namespace thaw::sandbox::detail
