// SPDX-License-Identifier: Apache-2.0
//
// BlobOwners: who has which blob, in memory, and the rows that say so on disk. It knows nothing of
// files. Loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/store/database.h"

namespace thaw::store::detail {

class BlobOwners {
 public:
  // That make its table.
  static std::vector<Step> steps();

  // One owner's hold on one blob.
  struct Hold {
    std::uint32_t owner = 0;
    std::uint32_t marked = 0;  // in which round of marks
    Instant keep_until{};
    bool is_stored = false;  // its row is on disk
    int storing = 0;         // rows that are on their way there
  };
  struct Owned {
    std::string owner;
    std::string name;
    std::uint64_t size = 0;
  };

  explicit BlobOwners(Database& database) : database_(database) {}
  // All that the rows say, kept until `keep_until`. Bad rows are left out.
  Result<void> load(Instant keep_until);
  bool empty() const { return entries_.empty(); }

  Hold* find(const std::string& owner, std::string_view name);
  const Hold* find(const std::string& owner, std::string_view name) const;
  bool is_known(std::string_view name) const { return entries_.contains(to_key(name)); }
  void add(const std::string& owner, const std::string& name, std::uint64_t size,
           Instant keep_until);
  // Its size; nullopt if the owner has it not. `orphaned`: nobody has it any more.
  struct Removed {
    std::uint64_t size = 0;
    bool orphaned = false;
  };
  std::optional<Removed> remove(const std::string& owner, std::string_view name);

  async::Task<void> store(std::string owner, std::string name, std::uint64_t size);
  void store_later(std::string owner, const std::string& name, std::uint64_t size);
  async::Task<void> erase(std::vector<Owned> rows);

  void each(const std::function<void(const std::string& owner, std::uint64_t size)>& visit) const;

  void begin_marks(Instant now) { ++round_, marks_begun_ = now; }
  void mark(const std::string& owner, std::string_view name, Instant keep_until);
  // From `after` on ("" at first), which moves on: holds that nothing marked in this round and
  // that had expired when it began. Looks at a bounded number; nullopt at the end.
  std::optional<std::vector<Owned>> next_unmarked(std::string& after);

 private:
  using Key = std::array<char, 32>;
  struct Entry {
    std::uint64_t size = 0;
    std::vector<Hold> holds;
  };
  static Key to_key(std::string_view name);
  static std::string to_name(const Key& key);
  std::uint32_t number_of(const std::string& owner);

  Database& database_;
  std::map<Key, Entry> entries_;  // in order, so that a walk may pause
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::vector<std::string> owners_;
  std::uint32_t round_ = 1;
  Instant marks_begun_{};
};

}  // namespace thaw::store::detail
