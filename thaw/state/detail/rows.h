// SPDX-License-Identifier: Apache-2.0
//
// What is done with the tables of dicts and item queues (tables.h), by nobody else. A Rows is one
// transaction of the caller, on a database thread: it touches values only. What a request changes,
// the numbers that count it and the answer that is remembered are one transaction. An Error undoes
// all of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "thaw/state/detail/answer_codec.h"
#include "thaw/state/detail/tables.h"
#include "thaw/state/limits.h"
#include "thaw/state/object.h"
#include "thaw/store/database.h"

namespace thaw::state::detail {

// What a change came to; `use` is of the workspace afterwards.
template <class T>
struct Changed {
  T value{};
  Use use;
  std::vector<std::string> set_aside{};  // what was damaged, for the log
  bool is_damaged = false;               // what was asked for
};

struct StoredEntry {
  std::string key;
  std::string value;        // empty if `is_left_out`
  std::uint64_t bytes = 0;  // of the value
  bool is_left_out = false;
  bool is_damaged = false;
  bool is_to_be_touched = false;  // its last use is to be written down
};

struct TakenItems {
  std::vector<Item> items;
  std::size_t left = 0;  // in the partition
};

struct Partition {
  std::uint64_t items = 0;
  std::uint64_t bytes = 0;
  WallTime until{};
};

class Rows {
 public:
  // All outlive it.
  Rows(store::Transaction& transaction, const StateLimits& limits, WallTime now)
      : transaction_(transaction), limits_(limits), now_(now) {}

  // --- reads ---
  Result<std::optional<std::string>> answer(const Object& object, const RequestKey& request);
  // A value of more than `most_bytes` is left out.
  Result<std::optional<StoredEntry>> entry(const Object& dict, const std::string& key,
                                           std::uint64_t most_bytes);
  // Of more than `after` in the order of keys, at most `most` and, but for the first, so many
  // bytes. Without values, all are left out.
  enum class Values { read, left_out };
  Result<std::vector<StoredEntry>> entries(const Object& dict,
                                           const std::optional<std::string>& after, Values values,
                                           std::size_t most, std::uint64_t most_bytes);
  Result<std::uint64_t> size(const Object& object);
  Result<Use> use(const model::WorkspaceId& workspace);
  Result<QueueSize> queue_size(const Object& queue);
  // Without what has expired. Empty: nothing is there.
  Result<Partition> partition(const Object& queue, const std::string& name);
  // Behind `after`, at most `most` and, but for the first, so many bytes. Damaged ones are left
  // out.
  Result<std::vector<Item>> items(const Object& queue, const std::string& partition,
                                  std::int64_t after, std::size_t most, std::uint64_t most_bytes);

  // --- changes of dicts ---
  enum class Existing { replace, keep };
  // How many entries were not there before.
  Result<Changed<std::uint64_t>> update(const Object& dict, const std::vector<Entry>& entries,
                                        Existing existing, const RequestKey& request);
  Result<Changed<std::optional<std::string>>> pop(const Object& dict, const std::string& key,
                                                  const RequestKey& request);
  // Their last use is now.
  Result<void> touch(const Object& dict, const std::vector<std::string>& keys);
  Result<Changed<bool>> set_entry_aside(const Object& dict, const std::string& key);

  // --- changes of queues ---
  Result<Changed<std::size_t>> put(const Object& queue, const std::string& partition,
                                   const std::vector<std::string>& items, Duration ttl,
                                   const RequestKey& request);
  Result<Changed<TakenItems>> take(const Object& queue, const std::string& partition,
                                   std::size_t most, const RequestKey& request);
  // What was taken for a request that nobody reads the answer of; no more than that. Returns how
  // many items.
  Result<Changed<std::size_t>> give_back(const Object& queue, const RequestKey& request);
  Result<Changed<bool>> clear_partition(const Object& queue, const std::string& partition,
                                        const RequestKey& request);

  // --- of both ---
  // The number that a next entry or item gets: all before have a smaller one.
  Result<std::int64_t> next_number(const Object& object);
  // Removes some of those with a smaller number; true: there are none left. The request's answer is
  // remembered with the last ones.
  Result<Changed<bool>> clear_some(const Object& object, std::int64_t before,
                                   const RequestKey& request);
  // Removes some of what is left of an object that is gone; true: nothing is left.
  Result<Changed<bool>> erase_some(const Object& object);
  // Removes some of what has expired; true: there is no more.
  struct Swept {
    bool is_all = true;
    std::uint64_t entries = 0;
    std::uint64_t partitions = 0;
    std::vector<std::pair<model::WorkspaceId, Use>> uses;
  };
  Result<bool> has_expired();
  Result<Swept> sweep();

  // --- at the start ---
  // Counts anew what counts others and is not what was written; says what was.
  Result<std::vector<std::string>> repair();
  Result<std::vector<std::pair<model::WorkspaceId, Use>>> uses();
  // Up to `most` behind `after`, in the order of their ids.
  Result<std::vector<Object>> objects(const std::string& after, std::size_t most);

 private:
  struct Counts {  // of an object
    std::int64_t entries = 0;
    std::int64_t bytes = 0;
    std::int64_t partitions = 0;
    std::int64_t next = 1;
  };
  struct Whole {  // of a workspace
    std::int64_t entries = 0;
    std::int64_t bytes = 0;
    std::int64_t answers = 0;
    std::int64_t answer_bytes = 0;
  };
  struct Change {
    const Object& object;
    Counts before;
    Counts counts;
    Whole whole;
    std::vector<std::string> set_aside;
  };

  Result<Change> begin(const Object& object);
  // resource_exhausted if the workspace then has more than its share, and more than before.
  Result<Use> end(Change& change);
  Result<std::optional<Counts>> read_counts(const Object& object, std::vector<std::string>& aside);
  Result<Counts> count_anew(const Object& object);
  Result<Whole> read_whole(const model::WorkspaceId& workspace);
  Result<void> write_whole(const model::WorkspaceId& workspace, const Whole& whole);
  Result<void> remember(Change& change, const RequestKey& request, std::string answer);
  Result<void> forget_oldest(const model::WorkspaceId& workspace, Whole& whole);
  Result<std::optional<Partition>> read_partition(const Object& queue, const std::string& name,
                                                  std::vector<std::string>* aside);
  Result<Partition> count_items(const Object& queue, const std::string& name);
  Result<void> write_partition(const Object& queue, const std::string& name,
                               const Partition& partition);
  Result<void> write_item(const Object& queue, const std::string& partition, std::int64_t number,
                          const std::string& value);
  Result<void> drop_partition(Change& change, const std::string& name);
  Result<Object> object_of(Object::Kind kind, const std::string& id);
  // These return how many they have found.
  Result<std::int64_t> sweep_entries(Swept& swept);
  Result<std::int64_t> sweep_partitions(Swept& swept);
  Result<std::int64_t> sweep_answers();
  Result<void> repair_objects(std::vector<std::string>& said);
  template <class C>
  Result<void> set_aside(const store::Table<C>& table, store::Place place, std::string object,
                         std::string reason, std::vector<std::string>& said);
  Result<std::uint64_t> remove_some(Change& change, std::int64_t before);
  std::int64_t now_us() const { return now_.time_since_epoch().count(); }
  std::int64_t expired_us() const;

  store::Transaction& transaction_;
  const StateLimits& limits_;
  WallTime now_;
};

}  // namespace thaw::state::detail
