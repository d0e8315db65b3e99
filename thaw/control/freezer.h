// SPDX-License-Identifier: Apache-2.0
//
// Freezer: freezes containers that are idle inside their scale-down window, and thaws them before
// anything is told to them. A container may be frozen when it has no input and no web request, its
// one open exchange is the parked poll for inputs, and neither side has sent what the other has not
// read; a server's network has no connection, and those that are kept for it are closed before.
// That is asked again when the kernel says that all its processes stand still: from then on
// it cannot change, so nothing is ever frozen in the middle. A request that comes while a freeze is
// under way ends it. While frozen nothing is sent to the container, and its poll does not time out.
//
// One that stands by is frozen as soon as it is at rest.
//
// Frozen containers give their memory back when the machine runs short of it and has swap.
// Owned by Pools; loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/control/container.h"
#include "thaw/worker/machine.h"

namespace thaw::control {

struct FreezerOptions {
  enum class Use { on, off } use = Use::on;
  Duration after = 2s;  // idle for that long
  // After a look that found the container not quiet; each time twice as long, up to 16 times that.
  Duration retry = 100ms;
  double short_of_memory = 10;  // per cent available, below which memory is taken back
};

struct FreezerParts {
  async::Loop& loop;
  // The container was frozen or thawed.
  std::function<void(Container&)> changed;
  std::function<worker::MachineMemory()> memory;
};

struct FreezerCounters {
  std::uint64_t freezes = 0;
  std::uint64_t abandoned = 0;  // freezes that ended because something happened meanwhile
  std::uint64_t failures = 0;   // that the kernel did not manage in time
  std::uint64_t thaws = 0;
  Duration thaw_time{};  // of all thaws together
  Duration longest_thaw{};
  std::uint64_t reclaimed_bytes = 0;
};

class Freezer {
 public:
  Freezer(FreezerParts parts, FreezerOptions options);

  void start();
  async::Task<void> stop();

  // The container has become idle: it is frozen when its time has come, if it may be.
  void watch(Container& container);
  // Before anything is told to the container or asked of it; tells what it was found as.
  enum class Found { running, frozen };
  Found thaw(Container& container);
  // It has ended.
  void forget(Container& container);

  const FreezerCounters& counters() const { return counters_; }

 private:
  using ContainerPtr = std::shared_ptr<Container>;

  bool freezes(const Container& container) const;
  // For so long it is idle before.
  Duration after(const Container& container) const;
  void look_at(const ContainerPtr& container, Instant when);
  void look_again(const ContainerPtr& container);
  void consider(const ContainerPtr& container, Instant now);
  static async::Task<void> watch_loop(Freezer& freezer);
  static async::Task<void> freeze(Freezer& freezer, ContainerPtr container);
  void run_on(Container& container);
  void give_up(const ContainerPtr& container, const Error& why);
  void relieve(Instant now);
  static async::Task<void> reclaim(Freezer& freezer, ContainerPtr container);

  FreezerParts parts_;
  FreezerOptions options_;
  FreezerCounters counters_;
  std::multimap<Instant, std::weak_ptr<Container>> due_;  // each container at most once
  std::map<model::ContainerId, ContainerPtr> frozen_;
  Instant next_relief_{};
  bool reclaiming_ = false;
  bool said_no_swap_ = false;
  async::Event due_changed_;
  async::TaskGroup tasks_;
};

// Whether this container, with this traffic on its connections, is at rest wholly.
bool is_at_rest(const Container& container, const worker::Traffic& traffic);

}  // namespace thaw::control
