// SPDX-License-Identifier: Apache-2.0
//
// The labels below which sandboxes are reached at the server's own listener. Nobody finds one by
// guessing: it is a digest that only this server makes, the same after a restart. Values only.
#pragma once

#include <functional>
#include <string>

#include "thaw/dialect/modal/context.h"

namespace thaw::dialect::modal {

// Of a sandbox's container, for what is reached there.
std::string box_label(const Context& cx, const model::ContainerId& container,
                      const std::string& what);
// Whether it does, without keeping what it has printed.
std::function<bool()> while_it_lives(const control::BoxPtr& box);
// Path and query of a request, as who is reached below that path is to see them.
std::string target_below(const net::HttpRequest& request, const std::string& root_path);

}  // namespace thaw::dialect::modal
