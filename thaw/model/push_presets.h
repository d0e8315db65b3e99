// SPDX-License-Identifier: Apache-2.0
//
// Contracts of servers that many images hold already, by the names that their users know: what to
// write down once instead of in each deployment. Data: nothing here decides anything, and nothing
// in the core asks which preset a contract came from.
#pragma once

#include <span>
#include <string_view>

#include "thaw/model/runner.h"

namespace thaw::model {

struct PushPreset {
  std::string_view name;
  std::string_view of;  // whose servers, for people
  PushContract contract;
};

// In the order in which people read them; the first is for any server.
std::span<const PushPreset> push_presets();
// nullptr: none is called so.
const PushPreset* find_push_preset(std::string_view name);

}  // namespace thaw::model
