// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/disk_shares.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

namespace thaw::store {

namespace {

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

struct Room {
  std::uint64_t free = 0;
  std::uint64_t reserve = 0;
};

Result<Room> room_at(const std::string& folder, std::uint64_t reserve_bytes) {
  struct statvfs status;
  if (::statvfs(folder.c_str(), &status) != 0) {
    return Error::from_errno(errno, "cannot look at the disk of the data folder");
  }
  const std::uint64_t unit = status.f_frsize;
  return Room{status.f_bavail * unit, std::min(reserve_bytes, status.f_blocks * unit / 20)};
}

// Of what there is for all owners, where no quota is set: one's part, and what is kept for those
// who have less.
constexpr std::uint64_t owners_part = 2;
constexpr std::uint64_t kept_part = 8;

bool leaves_enough(const Result<Room>& room, std::uint64_t for_owners, std::uint64_t more) {
  return room && more <= room->free && room->free - more >= room->reserve + for_owners / kept_part;
}

}  // namespace

void DiskShares::add(const std::string& owner, Kind kind, std::uint64_t bytes) {
  uses_[owner][static_cast<std::size_t>(kind)] += bytes;
}

void DiskShares::subtract(const std::string& owner, Kind kind, std::uint64_t bytes) {
  std::uint64_t& use = uses_[owner][static_cast<std::size_t>(kind)];
  use -= std::min(use, bytes);
}

void DiskShares::set(const std::string& owner, Kind kind, std::uint64_t bytes) {
  uses_[owner][static_cast<std::size_t>(kind)] = bytes;
}

std::uint64_t DiskShares::used(const std::string& owner) const {
  const auto found = uses_.find(owner);
  return found == uses_.end()
             ? 0
             : std::accumulate(found->second.begin(), found->second.end(), std::uint64_t{0});
}

std::uint64_t DiskShares::used(const std::string& owner, Kind kind) const {
  const auto found = uses_.find(owner);
  return found == uses_.end() ? 0 : found->second[static_cast<std::size_t>(kind)];
}

std::uint64_t DiskShares::quota() const {
  if (limits_.bytes_per_owner) {
    return *limits_.bytes_per_owner;
  }
  const auto room = room_at(folder_, limits_.reserve_bytes);
  if (!room || !owners || owners() < 2) {
    return 0;
  }
  std::uint64_t all = room->free - std::min(room->free, room->reserve);
  for (const auto& [owner, use] : uses_) {
    all += used(owner);
  }
  for_owners_ = std::max(for_owners_, all);
  return std::max<std::uint64_t>(for_owners_ / owners_part, 1);
}

bool DiskShares::is_over_quota(const std::string& owner) const { return !check_quota(owner, 0); }

std::string DiskShares::describe(const std::string& owner) const {
  std::string parts;
  if (const auto found = uses_.find(owner); found != uses_.end()) {
    for (std::size_t i = 0; i < kinds; ++i) {
      parts +=
          std::string(i == 0 ? " (" : ", ") + kind_names[i] + " " + mebibytes(found->second[i]);
    }
    parts += ")";
  }
  return "the workspace may have " + mebibytes(quota()) + " of this server's disk and uses " +
         mebibytes(used(owner)) + parts + "; the limit is [limits] workspace_disk_gb" +
         (limits_.bytes_per_owner
              ? ""
              : "; it is not set, and who has more than a half does not get the last eighth");
}

Result<void> DiskShares::check(const std::string& owner, std::uint64_t more) const {
  THAW_TRY_VOID(check_quota(owner, more));
  return check_room(more);
}

Result<void> DiskShares::check_quota(const std::string& owner, std::uint64_t more) const {
  const std::uint64_t limit = quota();
  const bool is_past = limit != 0 && (more > limit || used(owner) > limit - more);
  if (is_past && (limits_.bytes_per_owner ||
                  !leaves_enough(room_at(folder_, limits_.reserve_bytes), for_owners_, more))) {
    return Error::resource_exhausted(
        describe(owner) + ", and " + mebibytes(more) +
        " more are asked for: remove files of volumes, or have the limit raised");
  }
  return ok();
}

Result<void> DiskShares::check_room(std::uint64_t more) const {
  THAW_TRY(const Room room, room_at(folder_, limits_.reserve_bytes));
  if (more > room.free || room.free - more < room.reserve) {
    return Error::resource_exhausted(
        "the server's disk is full: no space is left for user data: " + mebibytes(more) +
        " are to be written, " + mebibytes(room.free) + " are free and " + mebibytes(room.reserve) +
        " of them are kept for the server itself; remove files, or give the server a larger disk");
  }
  return ok();
}

}  // namespace thaw::store
