// SPDX-License-Identifier: Apache-2.0
//
// What the dicts and the item queues of a workspace are found by; what is in them is elsewhere
// (state/). Plain values.
#pragma once

#include <string>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

template <class Id>
struct NamedState {
  Id id;
  WorkspaceId workspace;
  EnvironmentId environment;
  std::string name;  // empty: unnamed
  // named: until it is deleted. ephemeral: as long as its client says that it lives.
  enum class Life : int { named = 0, ephemeral = 1 } life = Life::named;
  WallTime created_at{};
};

using Dict = NamedState<DictId>;
using ItemQueue = NamedState<ItemQueueId>;

}  // namespace thaw::model
