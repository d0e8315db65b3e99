// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/disk_watch.h"

#include <algorithm>
#include <memory>
#include <set>

#include "thaw/base/log.h"

namespace thaw::control {

namespace {

using Kind = store::DiskShares::Kind;

// Looking takes at most so small a part of the time.
constexpr int rest_per_look = 20;
constexpr Duration room_period = 250ms;
constexpr Duration giving_back = 2s;
// Less than this is not what fills a disk.
constexpr std::uint64_t small_root = 16u << 20;

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

void DiskWatch::start() {
  tasks_.start("disk of containers", run(*this));
  tasks_.start("disk of volumes", run_volumes(*this));
}

async::Task<void> DiskWatch::run(DiskWatch& self) {
  const async::Pace pace{.period = std::min<Duration>(room_period, self.options_.period)};
  std::function<async::Task<void>()> next = [&self] { return look_if_due(self); };
  return async::every(pace, "disk of containers", std::move(next));
}

async::Task<void> DiskWatch::look_if_due(DiskWatch& self) {
  const Instant began = monotonic_now();
  const bool is_low = !self.parts_.disk.check_room(0) && began >= self.next_end_;
  if (began >= self.next_look_ || is_low) {
    self.looks_.note(co_await self.look());
    const Instant done = monotonic_now();
    self.next_look_ =
        done + std::max<Duration>(self.options_.period, (done - began) * rest_per_look);
  }
  if (is_low && !self.parts_.disk.check_room(0)) {
    self.end_largest(self.parts_.users());
    // What it held is given back first.
    self.next_end_ = monotonic_now() + giving_back;
  }
  co_return ok();
}

async::Task<void> DiskWatch::run_volumes(DiskWatch& self) {
  const async::Pace pace{.period = self.options_.volumes_period, .rest_per_work = rest_per_look};
  std::function<async::Task<void>()> next = [&self] { return self.parts_.volumes.measure(); };
  return async::every(pace, "measuring volumes", std::move(next));
}

std::uint64_t DiskWatch::limit_of(const DiskUser& user) const {
  return user.asked_bytes != 0 ? user.asked_bytes : options_.root_bytes;
}

async::Task<void> DiskWatch::look() {
  const std::vector<DiskUser> users = parts_.users();
  std::map<std::string, std::uint64_t> sums;
  std::set<model::ContainerId> seen;
  for (const DiskUser& user : users) {
    seen.insert(user.container);
    THAW_CO_TRY(const worker::RootUse use, co_await parts_.measure(user.container));
    const std::uint64_t limit = limit_of(user);
    const std::uint64_t bytes = use.bytes;
    roots_[user.container] = bytes;
    sums[user.workspace.str()] += bytes;
    if (use.is_incomplete) {
      end(user,
          "its folders are too many and too deep to be measured, and what a container "
          "writes is bounded");
    } else if (limit != 0 && bytes > limit) {
      end(user, "its files outside of volumes take " + mebibytes(bytes) + " and it may have " +
                    mebibytes(limit) +
                    " (ephemeral_disk= of its function, or [limits] container_disk_gb)");
    }
  }
  std::erase_if(roots_, [&](const auto& root) { return !seen.contains(root.first); });
  for (const auto& [owner, use] : std::map(parts_.disk.all())) {
    const auto sum = sums.find(owner);
    parts_.disk.set(owner, Kind::containers, sum == sums.end() ? 0 : sum->second);
    sums.erase(owner);
  }
  for (const auto& [owner, sum] : sums) {
    parts_.disk.set(owner, Kind::containers, sum);
  }
  end_over_quota(users);
  for (const DiskUser& user : users) {
    if (user.found_no_room && parts_.disk.check(user.workspace.str(), 0)) {
      parts_.retire(user.container);
    }
  }
  co_return ok();
}

void DiskWatch::end(const DiskUser& user, const std::string& why) {
  ++counters_.ended;
  log_warning("a container is ended for the disk it takes",
              {{"container", user.container.str()}, {"why", why}});
  parts_.end(user.container, "the container was ended: " + why);
}

void DiskWatch::end_over_quota(const std::vector<DiskUser>& users) {
  std::set<std::string> over;
  for (const auto& [owner, use] : parts_.disk.all()) {
    if (parts_.disk.is_over_quota(owner)) {
      over.insert(owner);
    }
  }
  for (const std::string& owner : over) {
    const std::string why = parts_.disk.describe(owner);
    const DiskUser* largest = nullptr;
    bool has_ended_writers = false;
    for (const DiskUser& user : users) {
      if (user.workspace.str() != owner) {
        continue;
      }
      if (user.writes_volumes) {
        has_ended_writers = true;
        end(user, why + "; volumes are read-only until it uses less");
      } else if (largest == nullptr || roots_[user.container] > roots_[largest->container]) {
        largest = &user;
      }
    }
    if (!has_ended_writers && largest != nullptr && roots_[largest->container] > small_root) {
      end(*largest, why + ", " + mebibytes(roots_[largest->container]) + " of it in its root");
    }
  }
}

void DiskWatch::end_largest(const std::vector<DiskUser>& users) {
  const DiskUser* largest = nullptr;
  for (const DiskUser& user : users) {
    if (largest == nullptr || roots_[user.container] > roots_[largest->container]) {
      largest = &user;
    }
  }
  const std::string why =
      "the server's disk is nearly full, and what is left is kept for the server itself";
  if (largest != nullptr && roots_[largest->container] > small_root) {
    end(*largest, why + "; its root holds " + mebibytes(roots_[largest->container]));
    roots_[largest->container] = 0;
    return;
  }
  // It is in volumes: those who can write to them in the workspace that has the most.
  const DiskUser* writer = nullptr;
  std::uint64_t most = 0;
  for (const DiskUser& user : users) {
    const std::uint64_t use = parts_.disk.used(user.workspace.str(), Kind::volumes);
    if (user.writes_volumes && (writer == nullptr || use > most)) {
      writer = &user;
      most = use;
    }
  }
  for (const DiskUser& user : users) {
    if (writer != nullptr && user.writes_volumes && user.workspace == writer->workspace) {
      end(user, why + "; the volumes of its workspace hold " + mebibytes(most));
    }
  }
}

}  // namespace thaw::control
