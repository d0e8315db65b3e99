// SPDX-License-Identifier: Apache-2.0
//
// DiskShares: how much of the data folder's disk each owner (such as a workspace) takes, by kind,
// and whether it may take more. Two bounds: an owner's quota, and a reserve of free space that is
// the server's own, so that its database can always be written. Where no quota is set and there is
// more than one owner, who has more than a half of what the disk has for all of them does not get
// its last eighth: nobody finds it full of what another one has. The numbers come from those who
// keep the bytes: some are exact, some measured now and then. Loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "thaw/base/result.h"

namespace thaw::store {

struct DiskLimits {
  std::optional<std::uint64_t> bytes_per_owner;  // 0: no quota; not set: a half, among several
  std::uint64_t reserve_bytes = 256ull << 20;    // at most a twentieth of the disk is kept free
};

class DiskShares {
 public:
  enum class Kind { blobs, volumes, containers, calls, state };
  static constexpr std::size_t kinds = 5;
  static constexpr std::array<const char*, kinds> kind_names = {"blobs", "volumes", "containers",
                                                                "calls", "state"};
  using Use = std::array<std::uint64_t, kinds>;  // bytes by kind

  DiskShares(std::string folder, DiskLimits limits) : folder_(std::move(folder)), limits_(limits) {}

  // How many owners there are; set once, by who knows them. Without it there is one.
  std::function<std::size_t()> owners;

  void add(const std::string& owner, Kind kind, std::uint64_t bytes);
  void subtract(const std::string& owner, Kind kind, std::uint64_t bytes);
  void set(const std::string& owner, Kind kind, std::uint64_t bytes);

  std::uint64_t used(const std::string& owner) const;
  std::uint64_t used(const std::string& owner, Kind kind) const;
  // What each may have whatever is left (see above); 0: as much as there is.
  std::uint64_t quota() const;
  bool is_over_quota(const std::string& owner) const;
  // "the workspace may have … and uses … (…)".
  std::string describe(const std::string& owner) const;
  const std::map<std::string, Use>& all() const { return uses_; }

  // resource_exhausted with the limit and the use, if the owner is not to have so much more.
  Result<void> check(const std::string& owner, std::uint64_t more) const;
  // The owner's quota alone, without the disk's room.
  Result<void> check_quota(const std::string& owner, std::uint64_t more) const;
  // The same without an owner: whether the disk has the room.
  Result<void> check_room(std::uint64_t more) const;

 private:
  std::string folder_;
  DiskLimits limits_;
  std::map<std::string, Use> uses_;
  // The most that the disk has had for all owners: what others fill makes nobody's share smaller.
  mutable std::uint64_t for_owners_ = 0;
};

}  // namespace thaw::store
