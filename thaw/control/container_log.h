// SPDX-License-Identifier: Apache-2.0
//
// What the platform itself has to say in the log of a container, to the person whose it is.
#pragma once

#include <string>

#include "thaw/control/container.h"
#include "thaw/logs/log_hub.h"

namespace thaw::control {

void say_in_log(logs::LogHub& logs, const Container& container, const std::string& text);

}  // namespace thaw::control
