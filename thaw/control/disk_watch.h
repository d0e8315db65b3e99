// SPDX-License-Identifier: Apache-2.0
//
// DiskWatch: what containers write does not pass through the server, so it looks: every few seconds
// at the root folder of each container and now and then at the volumes. A container whose root
// holds more than it may is ended and told why; a workspace past its quota gets its volumes
// read-only (its running containers that can write to them are ended), so that files can still be
// read and removed; once there is room again, containers that were started without it give way.
// When the disk itself runs low, the largest writers go first, before the server's own database has
// no room. Walks take a small part of the time, whatever their number. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "thaw/async/every.h"
#include "thaw/async/task_group.h"
#include "thaw/model/ids.h"
#include "thaw/store/disk_shares.h"
#include "thaw/worker/volumes.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

struct DiskWatchOptions {
  Duration period = std::chrono::seconds(2);
  Duration volumes_period = std::chrono::seconds(20);
  std::uint64_t root_bytes = 64ull << 30;  // of a container that asks for nothing; 0: no bound
};

// A container that runs.
struct DiskUser {
  model::ContainerId container;
  model::WorkspaceId workspace;
  std::uint64_t asked_bytes = 0;  // of disk for itself; 0: nothing
  bool writes_volumes = false;
  bool found_no_room = false;  // when it was started: its volumes are read-only
};

struct DiskWatchParts {
  async::Loop& loop;
  store::DiskShares& disk;
  worker::Volumes& volumes;
  std::function<std::vector<DiskUser>()> users;
  // What its root takes; a walk that goes on in the background.
  std::function<async::Task<worker::RootUse>(model::ContainerId)> measure;
  // Ends it at once; `why` is told to who waits for it and to its log.
  std::function<void(const model::ContainerId&, const std::string& why)> end;
  // Lets it finish its work and gives it no more.
  std::function<void(const model::ContainerId&)> retire;
};

struct DiskWatchCounters {
  std::uint64_t ended = 0;
};

class DiskWatch {
 public:
  DiskWatch(DiskWatchParts parts, DiskWatchOptions options)
      : parts_(std::move(parts)), options_(options), tasks_(parts_.loop) {}

  void start();
  async::Task<void> stop() { return tasks_.stop(); }
  // Looks at all containers once.
  async::Task<void> look();
  const DiskWatchCounters& counters() const { return counters_; }

 private:
  static async::Task<void> run(DiskWatch& self);
  static async::Task<void> look_if_due(DiskWatch& self);
  static async::Task<void> run_volumes(DiskWatch& self);
  std::uint64_t limit_of(const DiskUser& user) const;
  void end(const DiskUser& user, const std::string& why);
  void end_over_quota(const std::vector<DiskUser>& users);
  void end_largest(const std::vector<DiskUser>& users);

  DiskWatchParts parts_;
  DiskWatchOptions options_;
  std::map<model::ContainerId, std::uint64_t> roots_;  // bytes, as last seen
  async::Failures looks_{"looking at the disk of containers"};
  Instant next_look_{};
  Instant next_end_{};  // of a container, because the disk is low
  DiskWatchCounters counters_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::control
