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
                      objects_[id] = std::make_shared<T>(std::move(value));
                      return ok();
                    });
  }

  // nullptr when unknown. The object stays valid while held; treat it as a snapshot.
  std::shared_ptr<const T> find(const std::string& id) const {
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second;
  }

  async::Task<void> put(T value) {
    const std::string id = value.id.str();
    StoredRecord record = to_record(value);
    objects_[id] = std::make_shared<T>(std::move(value));
    co_return co_await write_row(database_, kind_, id, std::move(record));
  }

  async::Task<void> erase(std::string id) {
    objects_.erase(id);
    co_return co_await delete_row(database_, kind_, std::move(id));
  }

  const std::unordered_map<std::string, std::shared_ptr<const T>>& all() const { return objects_; }

 private:
  store::Database& database_;
  std::string kind_;
  std::unordered_map<std::string, std::shared_ptr<const T>> objects_;
};

}  // namespace thaw::catalog
