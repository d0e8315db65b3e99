// SPDX-License-Identifier: Apache-2.0
//
// What every operation works with: the owners, and where this server stands. Loop thread only.
#pragma once

#include "thaw/gateway/dialect.h"

namespace thaw::dialect::registry {

struct Context {
  explicit Context(const gateway::Owners& given) : owners(given) {}

  gateway::Owners owners;
  gateway::Surroundings place;  // once the server listens
};

}  // namespace thaw::dialect::registry
