// SPDX-License-Identifier: Apache-2.0
//
// KeptForLater: what a client says in one request and refers to in a later one, in memory, of each
// workspace the latest of it: so many bytes, so many things, for so long. Who comes too late, or
// after a restart, begins anew. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::dialect::modal {

struct KeptForLaterLimits {
  std::uint64_t bytes = 32u << 20;  // of one workspace
  std::size_t things = 1000;        // the same
  Duration age = std::chrono::hours(1);
};

template <class Thing>
class KeptForLater {
 public:
  using Limits = KeptForLaterLimits;
  explicit KeptForLater(Limits limits = {}) : limits_(limits) {}

  // In place of one of the same id. One that is larger than all may be is not kept.
  void put(const model::WorkspaceId& workspace, const std::string& id, Thing thing,
           std::uint64_t bytes, Instant now) {
    erase(workspace, id);
    Own& own = workspaces_[workspace];
    own.bytes += bytes;
    own.entries.push_back({id, std::move(thing), bytes, now});
    for (auto one = workspaces_.begin(); one != workspaces_.end();) {
      drop_old(one->second, now);
      one = one->second.entries.empty() ? workspaces_.erase(one) : std::next(one);
    }
  }
  // A default Thing: another workspace's, or not kept any more.
  Thing find(const model::WorkspaceId& workspace, const std::string& id) const {
    const auto own = workspaces_.find(workspace);
    if (own != workspaces_.end()) {
      for (const Entry& entry : own->second.entries) {
        if (entry.id == id) {
          return entry.thing;
        }
      }
    }
    return Thing();
  }
  void erase(const model::WorkspaceId& workspace, const std::string& id) {
    const auto own = workspaces_.find(workspace);
    if (own == workspaces_.end()) {
      return;
    }
    std::erase_if(own->second.entries, [&](const Entry& entry) {
      own->second.bytes -= entry.id == id ? entry.bytes : 0;
      return entry.id == id;
    });
  }

 private:
  struct Entry {
    std::string id;
    Thing thing;
    std::uint64_t bytes = 0;
    Instant at{};
  };
  struct Own {
    std::deque<Entry> entries;  // oldest first
    std::uint64_t bytes = 0;
  };

  void drop_old(Own& own, Instant now) const {
    while (!own.entries.empty() &&
           (own.bytes > limits_.bytes || own.entries.size() > limits_.things ||
            own.entries.front().at + limits_.age < now)) {
      own.bytes -= own.entries.front().bytes;
      own.entries.pop_front();
    }
  }

  Limits limits_;
  std::map<model::WorkspaceId, Own> workspaces_;
};

}  // namespace thaw::dialect::modal
