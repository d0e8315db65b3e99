// SPDX-License-Identifier: Apache-2.0
//
// The cold-start ladder: from what a container came to answer. The smaller the level, the less
// there is to do; a level that fails gives way to the next larger one.
#pragma once

#include <string_view>

namespace thaw::model {

enum class Level {
  warm,      // L0: the process was there
  frozen,    // L1: it was there, frozen inside its scale-down window
  forked,    // L2: forked from a template that has the runtime's imports done
  restored,  // L3: restored from a snapshot on disk
  booted,    // L4: started from its image's layers
};

inline constexpr Level last_level = Level::booted;

constexpr std::string_view level_name(Level level) {
  switch (level) {
    case Level::warm: return "L0 warm";
    case Level::frozen: return "L1 frozen";
    case Level::forked: return "L2 forked";
    case Level::restored: return "L3 restored";
    case Level::booted: return "L4 booted";
  }
  return "";
}

// "L2": for machines, and for labels of metrics.
constexpr std::string_view level_key(Level level) { return level_name(level).substr(0, 2); }

}  // namespace thaw::model
