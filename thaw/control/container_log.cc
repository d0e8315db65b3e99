// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/container_log.h"

#include <utility>

namespace thaw::control {

void say_in_log(logs::LogHub& logs, const Container& container, const std::string& text) {
  logs::Line line;
  line.time = wall_now();
  line.channel = logs::Channel::info;
  line.container = container.id.str();
  line.function = container.spec->id.str();
  line.text = "thaw: " + text + "\n";
  logs.append(container.spec->app.str(), std::move(line));
}

}  // namespace thaw::control
