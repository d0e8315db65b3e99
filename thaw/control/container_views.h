// SPDX-License-Identifier: Apache-2.0
//
// ContainerViews: containers as people see them, those that live and the last that ended, and the
// time that all of them together were in each state. Changes nothing. Loop thread only.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "thaw/control/pools.h"

namespace thaw::control {

// A container for people: `thaw ps`, `thaw logs --starts`, TaskList.
struct ContainerView {
  model::ContainerId id;
  std::shared_ptr<const model::FunctionSpec> spec;
  Status status = Status::starting;
  model::Level level = model::Level::booted;
  StartMoments moments;
  WallTime created_at{};
  std::size_t inputs = 0;
  std::size_t calls_served = 0;
  std::uint64_t memory_bytes = 0;
  int pid = 0;
  std::string end;  // how it ended; empty while it lives
  Duration lived{};
  StateTimes times;                         // in each state
  Duration thaw_time{};                     // of its last thaw; 0: was not frozen
  std::vector<worker::Fallback> fallbacks;  // better levels that its start tried in vain
  bool is_frozen = false;                   // one that stands by, too
};

struct DiskUser;  // disk_watch.h

class ContainerViews {
 public:
  ContainerViews(const Pools& pools, std::size_t most_finished)
      : pools_(pools), most_finished_(most_finished) {}

  std::vector<ContainerView> living() const;
  std::vector<ContainerView> finished() const;  // oldest first
  // How it ended; empty: it lives, or nobody remembers it.
  std::string end_of(const model::ContainerId& id) const;
  // Of all containers since the server started.
  StateTimes times() const;
  // Of all that live or are being started.
  std::vector<model::MountId> mounts_in_use() const;
  std::vector<DiskUser> disk_users() const;
  // One has ended, like this.
  void remember(const Container& container, std::string end);

 private:
  const Pools& pools_;
  std::size_t most_finished_;
  std::deque<ContainerView> finished_;
  StateTimes ended_times_;  // of containers that have ended
};

}  // namespace thaw::control
