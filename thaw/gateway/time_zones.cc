// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/time_zones.h"

#include <date/tz.h>

#include <stdexcept>

namespace thaw::gateway {

namespace {

using std::chrono::local_seconds;
using std::chrono::sys_seconds;

class NamedZone final : public policy::Zone {
 public:
  explicit NamedZone(const date::time_zone* zone) : zone_(zone) {}

  local_seconds shown(sys_seconds time) const override {
    return local_seconds((time + zone_->get_info(time).offset).time_since_epoch());
  }

  sys_seconds first(local_seconds shown) const override {
    const date::local_info info = zone_->get_info(date::local_seconds(shown.time_since_epoch()));
    if (info.result == date::local_info::nonexistent) {
      return info.first.end;
    }
    return sys_seconds(shown.time_since_epoch()) - info.first.offset;
  }

 private:
  const date::time_zone* zone_;  // the library's, for ever
};

}  // namespace

Result<const policy::Zone*> TimeZones::find(const std::string& name) {
  std::unique_ptr<policy::Zone>& zone = zones_[name];
  if (zone) {
    return zone.get();
  }
  if (name.empty() || name == "UTC") {
    zone = std::make_unique<policy::UtcZone>();
    return zone.get();
  }
  try {
    zone = std::make_unique<NamedZone>(date::locate_zone(name));
    return zone.get();
  } catch (const std::exception&) {
    zones_.erase(name);
    return Error::invalid_argument("this machine knows no time zone '" + name.substr(0, 100) +
                                   "'; they have names such as Europe/Paris, and UTC is one");
  }
}

}  // namespace thaw::gateway
