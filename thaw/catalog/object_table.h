// SPDX-License-Identifier: Apache-2.0
//
// ObjectTable<T>: all records of one kind, in memory, written through to one table of the database
// as JSON. put() and erase() change memory first (so that the next request of this loop sees it)
// and return once the change is on disk. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/store/database.h"

namespace thaw::catalog {

// The stored form: JSON text, and bytes that JSON would bloat.
struct StoredRecord {
  std::string json;
  std::string bytes;
};

template <class T>
StoredRecord to_record(const T& value);
template <class T>
Result<T> from_record(const StoredRecord& record);

// What a table's records are looked up by besides their id, such as the app of a function. Several
// may have the same key; those without one ("") are not indexed.
template <class T>
std::string index_key(const T&) {
  return {};
}

// Writes or deletes one row; resumes when it is on disk.
async::Task<void> write_row(store::Database& database, std::string kind, std::string id,
                            StoredRecord record);
async::Task<void> delete_row(store::Database& database, std::string kind, std::string id);
Result<void> each_row(store::Database& database, const std::string& kind,
                      const std::function<Result<void>(const std::string&, StoredRecord)>& visit);

template <class T>
class ObjectTable {
 public:
  ObjectTable(store::Database& database, std::string kind)
      : database_(database), kind_(std::move(kind)) {}

  Result<void> load() {
    return each_row(database_, kind_,
                    [this](const std::string& id, StoredRecord record) -> Result<void> {
                      THAW_TRY(T value, from_record<T>(record));
                      keep(id, std::make_shared<T>(std::move(value)));
                      return ok();
                    });
  }

  // nullptr when unknown. The object stays valid while held; treat it as a snapshot.
  std::shared_ptr<const T> find(const std::string& id) const {
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second;
  }

  // All with this index_key, in no order.
  std::vector<std::shared_ptr<const T>> find_by_key(const std::string& key) const {
    std::vector<std::shared_ptr<const T>> found;
    const auto [first, last] = ids_by_key_.equal_range(key);
    for (auto entry = first; entry != last; ++entry) {
      found.push_back(objects_.at(entry->second));
    }
    return found;
  }

  async::Task<void> put(T value) {
    const std::string id = value.id.str();
    StoredRecord record = to_record(value);
    keep(id, std::make_shared<T>(std::move(value)));
    co_return co_await write_row(database_, kind_, id, std::move(record));
  }

  async::Task<void> erase(std::string id) {
    forget(id);
    co_return co_await delete_row(database_, kind_, std::move(id));
  }

  const std::unordered_map<std::string, std::shared_ptr<const T>>& all() const { return objects_; }

 private:
  void keep(const std::string& id, std::shared_ptr<const T> object) {
    forget(id);
    if (std::string key = index_key(*object); !key.empty()) {
      ids_by_key_.emplace(std::move(key), id);
    }
    objects_[id] = std::move(object);
  }

  void forget(const std::string& id) {
    const auto old = objects_.find(id);
    if (old == objects_.end()) {
      return;
    }
    const auto [first, last] = ids_by_key_.equal_range(index_key(*old->second));
    for (auto entry = first; entry != last; ++entry) {
      if (entry->second == id) {
        ids_by_key_.erase(entry);
        break;
      }
    }
    objects_.erase(old);
  }

  store::Database& database_;
  std::string kind_;
  std::unordered_map<std::string, std::shared_ptr<const T>> objects_;
  std::unordered_multimap<std::string, std::string> ids_by_key_;
};

}  // namespace thaw::catalog
