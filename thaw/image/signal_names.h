// SPDX-License-Identifier: Apache-2.0
//
// Signals as a Dockerfile writes them: SIGTERM, TERM, 15, SIGRTMIN+3. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace thaw::image {

// From 1 to 64, as Linux numbers them; nullopt for anything else. Case does not matter.
std::optional<int> signal_number(std::string_view text);

}  // namespace thaw::image
