// SPDX-License-Identifier: Apache-2.0
//
// Lists of networks, as users write them: which of them can be, and who is in one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::gateway {

// Of a list that is called `what`.
inline constexpr std::size_t most_networks = 1'000;
// invalid_argument names the entry that is no network ("10.0.0.0/8", "fd00::/8", one address), or
// says that there are too many.
Result<void> check_networks(std::string_view what, const std::vector<std::string>& networks);
// Whether a peer, "1.2.3.4:5" or "[fd00::1]:5", is in one of them. In an empty list is nobody.
bool is_in(const std::vector<std::string>& networks, const std::string& peer);

}  // namespace thaw::gateway
