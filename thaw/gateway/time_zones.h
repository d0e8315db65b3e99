// SPDX-License-Identifier: Apache-2.0
//
// TimeZones: the zones of the machine's tz database (Debian's package tzdata), by name. A zone is
// read when it is first asked for, which takes about a millisecond, and kept. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/base/result.h"
#include "thaw/policy/schedule.h"

namespace thaw::gateway {

class TimeZones {
 public:
  // "" is UTC. invalid_argument: the machine knows no such zone. Valid as long as this is.
  Result<const policy::Zone*> find(const std::string& name);

 private:
  std::map<std::string, std::unique_ptr<policy::Zone>> zones_;
};

}  // namespace thaw::gateway
