// SPDX-License-Identifier: Apache-2.0
//
// What every operation works with: the owners, and where this server stands. Loop thread only.
#pragma once

#include <map>
#include <string>

#include "thaw/gateway/dialect.h"
#include "thaw/gateway/image_taker.h"

namespace thaw::dialect::registry {

struct Context {
  Context(const gateway::Owners& given, gateway::ImageTaker& hears) : owners(given), taker(hears) {}

  gateway::Owners owners;
  gateway::ImageTaker& taker;   // of what gets a tag
  gateway::Surroundings place;  // once the server listens
  // Blobs that are read ahead of their readers now, by workspace.
  mutable std::map<std::string, std::size_t> reads_ahead;
};

}  // namespace thaw::dialect::registry
