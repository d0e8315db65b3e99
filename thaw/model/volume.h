// SPDX-License-Identifier: Apache-2.0
//
// A volume is a named tree of files that outlives containers. Plain values.
#pragma once

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

struct Volume {
  VolumeId id;
  WorkspaceId workspace;
  EnvironmentId environment;
  std::string name;  // empty: unnamed
  // named: until it is deleted. ephemeral: as long as its client says that it lives. doomed: it was
  // deleted, and its files are being removed; nobody finds it any more.
  enum class Life : int { named = 0, ephemeral = 1, doomed = 2 } life = Life::named;
  int format = 2;  // which of its client's two ways of moving files it wants
  WallTime created_at{};
};

}  // namespace thaw::model
