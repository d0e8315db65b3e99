// SPDX-License-Identifier: Apache-2.0
//
// ObjectTable<T>: all records of one kind, in memory, written through to one table of the database
// as JSON. A change is seen in memory at once (so that the next request of this loop builds on it)
// and its task resumes once it is on disk. If the disk does not take it, memory goes back to what
// is there: as soon as no write of an object is under way, memory and disk have the same. Nothing
// is written that could not be read again. Loop thread only.
//
// A record that cannot be read costs that object: it is set aside, and what refers to it finds
// nothing under its id.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/catalog/shares.h"
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

// Whose it is, where that is another question; one at most.
template <class T>
std::string owner_key(const T&) {
  return {};
}
// What it names that somebody may ask for whether anything names it.
template <class T>
std::vector<std::string> named_by(const T&) {
  return {};
}

template <class T>
Weight weight_of(const T& value);

std::vector<store::Migration> migrations();

// One row as it is to be; without a record it is to be gone.
struct RowChange {
  std::string kind;
  std::string id;
  std::unique_ptr<StoredRecord> record;
};

// A change of one object: its row, and what it does to memory before and after the write.
struct Step {
  Result<RowChange> row = Error::internal("no change");
  std::function<void()> begin;
  std::function<void(bool stored)> end;
};

// Makes all of them or none, on disk in one transaction; resumes when they are there.
async::Task<void> apply_steps(store::Database& database, std::vector<Step> steps);
// Calls `visit` with every row of the kind; rows that it gives an error for are set aside.
Result<void> each_row(store::Database& database, const std::string& kind,
                      const std::function<Result<void>(const std::string&, StoredRecord)>& visit);
// The row of a record that cannot be used.
void set_row_aside(store::Database& database, const std::string& kind, const std::string& id,
                   std::string reason);
// invalid_argument if what comes back of a stored record is not what went in.
Error not_the_same(const std::string& kind, const std::string& id, const std::string& why);

template <class T>
class ObjectTable {
 public:
  using Object = std::shared_ptr<const T>;

  ObjectTable(store::Database& database, Shares& shares, std::string kind)
      : database_(database), shares_(shares), kind_(std::move(kind)) {}

  Result<void> load() {
    return each_row(
        database_, kind_,
        [this](const std::string& id, const StoredRecord& record) -> Result<void> {
          THAW_TRY(T value, from_record<T>(record));
          if (id.empty() || value.id.str() != id) {
            return Error::data_loss("its id is '" + value.id.str() + "' and its row '" + id + "'");
          }
          keep(id, std::make_shared<T>(std::move(value)));
          return ok();
        });
  }

  // nullptr when unknown. The object stays valid while held; treat it as a snapshot.
  Object find(const std::string& id) const {
    const auto found = objects_.find(id);
    return found == objects_.end() ? nullptr : found->second;
  }

  // All with this index_key, in no order.
  std::vector<Object> find_by_key(const std::string& key) const {
    std::vector<Object> found;
    const auto [first, last] = ids_by_key_.equal_range(key);
    for (auto entry = first; entry != last; ++entry) {
      found.push_back(objects_.at(entry->second));
    }
    return found;
  }

  // All with this owner_key, in no order.
  std::vector<Object> find_by_owner(const std::string& key) const {
    std::vector<Object> found;
    const auto [first, last] = ids_by_owner_.equal_range(key);
    for (auto entry = first; entry != last; ++entry) {
      found.push_back(objects_.at(entry->second));
    }
    return found;
  }
  // Whether one of them has it in named_by().
  bool names(const std::string& what) const { return uses_.contains(what); }

  // The steps are for apply_steps(), soon; the table outlives them.
  Step step_to_put(T value) {
    const std::string id = value.id.str();
    if (Result<void> admitted = admit(id, value); !admitted) {
      return {std::move(admitted).error(), {}, {}};
    }
    StoredRecord record = to_record(value);
    if (Result<void> readable = check_readable(id, record); !readable) {
      return {std::move(readable).error(), {}, {}};
    }
    return step(id, std::make_shared<T>(std::move(value)),
                std::make_unique<StoredRecord>(std::move(record)));
  }
  Step step_to_erase(const std::string& id) { return step(id, nullptr, nullptr); }

  async::Task<void> put(T value) {
    std::vector<Step> steps;
    steps.push_back(step_to_put(std::move(value)));
    return apply_steps(database_, std::move(steps));
  }

  async::Task<void> erase(const std::string& id) {
    std::vector<Step> steps;
    steps.push_back(step_to_erase(id));
    return apply_steps(database_, std::move(steps));
  }

  const std::unordered_map<std::string, Object>& all() const { return objects_; }

  // Of one that others found unusable: it is forgotten, and its row set aside.
  void set_aside(const std::string& id, std::string reason) {
    set_row_aside(database_, kind_, id, std::move(reason));
    forget(id);
  }

 private:
  struct Writing {
    Object stored;  // what is on disk; null: nothing
    int writes = 0;
  };

  Result<void> admit(const std::string& id, const T& value) const {
    const Object old = find(id);
    if (!old) {
      return shares_.admit(nullptr, weight_of(value));
    }
    const Weight before = weight_of(*old);
    return shares_.admit(&before, weight_of(value));
  }

  Result<void> check_readable(const std::string& id, const StoredRecord& record) const {
    const auto read = from_record<T>(record);
    if (!read) {
      return not_the_same(kind_, id, read.error().message());
    }
    const StoredRecord again = to_record(*read);
    if (id.empty() || read->id.str() != id || again.json != record.json ||
        again.bytes != record.bytes) {
      return not_the_same(kind_, id, "it would be another one when it is read again");
    }
    return ok();
  }

  Step step(const std::string& id, const Object& object, std::unique_ptr<StoredRecord> record) {
    Step made;
    made.row = RowChange{kind_, id, std::move(record)};
    made.begin = [this, id, object] {
      const auto [entry, fresh] = writing_.try_emplace(id);
      if (fresh) {
        entry->second.stored = find(id);
      }
      ++entry->second.writes;
      replace(id, object);
    };
    made.end = [this, id, object](bool stored) {
      const auto entry = writing_.find(id);
      if (stored) {
        entry->second.stored = object;
      }
      if (--entry->second.writes == 0) {
        const Object on_disk = std::move(entry->second.stored);
        writing_.erase(entry);
        if (on_disk != find(id)) {
          replace(id, on_disk);
        }
      }
    };
    return made;
  }

  void replace(const std::string& id, Object object) {
    if (object) {
      keep(id, std::move(object));
    } else {
      forget(id);
    }
  }

  void keep(const std::string& id, Object object) {
    forget(id);
    if (std::string key = index_key(*object); !key.empty()) {
      ids_by_key_.emplace(std::move(key), id);
    }
    if (std::string key = owner_key(*object); !key.empty()) {
      ids_by_owner_.emplace(std::move(key), id);
    }
    for (std::string& what : named_by(*object)) {
      ++uses_[std::move(what)];
    }
    shares_.add(weight_of(*object));
    objects_[id] = std::move(object);
  }

  void forget(const std::string& id) {
    const auto old = objects_.find(id);
    if (old == objects_.end()) {
      return;
    }
    drop(ids_by_key_, index_key(*old->second), id);
    drop(ids_by_owner_, owner_key(*old->second), id);
    for (const std::string& what : named_by(*old->second)) {
      const auto use = uses_.find(what);
      if (--use->second == 0) {
        uses_.erase(use);
      }
    }
    shares_.remove(weight_of(*old->second));
    objects_.erase(old);
  }

  using Ids = std::unordered_multimap<std::string, std::string>;
  static void drop(Ids& ids, const std::string& key, const std::string& id) {
    const auto [first, last] = ids.equal_range(key);
    for (auto entry = first; entry != last; ++entry) {
      if (entry->second == id) {
        ids.erase(entry);
        return;
      }
    }
  }

  store::Database& database_;
  Shares& shares_;
  std::string kind_;
  std::unordered_map<std::string, Object> objects_;
  Ids ids_by_key_;
  Ids ids_by_owner_;
  std::unordered_map<std::string, std::size_t> uses_;
  std::unordered_map<std::string, Writing> writing_;
};

}  // namespace thaw::catalog
