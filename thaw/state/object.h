// SPDX-License-Identifier: Apache-2.0
//
// What names the dict or the queue that a request is about, and the request itself. Whoever calls
// has found the object in a scope: here its id is taken as it is. Plain values.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/id.h"
#include "thaw/model/named_state.h"

namespace thaw::state {

struct Object {
  enum class Kind { dict, queue } kind = Kind::dict;
  std::string id;
  model::WorkspaceId workspace;
};

inline Object object_of(const model::Dict& dict) {
  return {Object::Kind::dict, dict.id.str(), dict.workspace};
}
inline Object object_of(const model::ItemQueue& queue) {
  return {Object::Kind::queue, queue.id.str(), queue.workspace};
}

// Who asks and for what, the same when it is asked a second time; at most 255 bytes. Empty: it
// comes once.
using RequestKey = StrongId<struct RequestKeyTag>;

// Of a workspace: entries of its dicts and items of its queues.
struct Use {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
};

struct QueueSize {
  std::uint64_t items = 0;
  std::uint64_t partitions = 0;  // with items
};

}  // namespace thaw::state
