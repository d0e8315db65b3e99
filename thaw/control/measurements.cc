// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/measurements.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/codec/fields.h"
#include "thaw/store/set_aside.h"

namespace thaw::control {

namespace {

using codec::Json;
using model::Level;

enum class MeasurementColumn { kind, id, record };
constexpr store::Column measurement_columns[] = {
    {"kind", store::Type::text}, {"id", store::Type::text}, {"record", store::Type::text}};
constexpr store::Table<MeasurementColumn> measurement("measurement", measurement_columns,
                                                      {MeasurementColumn::kind,
                                                       MeasurementColumn::id},
                                                      store::Rows::keyed);

template <class T>
void learn(T& mean, T value) {
  mean = mean == T{} ? value : (mean * 7 + value) / 8;
}

Json json_of(const policy::LevelRecords& levels) {
  Json out = Json::object();
  for (std::size_t i = 0; i < levels.all.size(); ++i) {
    const policy::LevelRecord& record = levels.all[i];
    if (record.starts > 0) {
      out[std::to_string(i)] = {{"starts", record.starts},
                                {"time_ns", record.time.count()},
                                {"memory", record.memory_bytes}};
    }
  }
  return out;
}

Result<policy::LevelRecords> levels_from(const Json& json) {
  policy::LevelRecords levels;
  codec::Fields all(json);
  for (std::size_t i = 0; i < levels.all.size(); ++i) {
    const std::string level = std::to_string(i);
    codec::Fields fields(all.object(level.c_str()));
    policy::LevelRecord& record = levels.all[i];
    fields.read("starts", record.starts);
    fields.read_duration("time_ns", record.time);
    fields.read("memory", record.memory_bytes);
    all.include(fields);
  }
  THAW_TRY_VOID(all.outcome());
  return levels;
}

Json json_of(const FunctionUse& use) {
  const policy::IdleHistory::Kept kept = use.idle.kept();
  return {{"came", kept.came},
          {"explained", kept.explained},
          {"moments", kept.moments_us},
          {"last", use.last_active.time_since_epoch().count()}};
}

std::vector<std::pair<std::uint16_t, float>> bins_from(codec::Fields& fields, const char* name) {
  std::vector<std::pair<std::uint16_t, float>> bins;
  for (const Json& item : fields.items(name)) {
    const bool whole = item.is_array() && item.size() == 2 && item[0].is_number_unsigned() &&
                       item[0].get<std::uint64_t>() <= 0xffff && item[1].is_number() &&
                       std::abs(item[1].get<double>()) < 1e30;
    if (!whole) {
      fields.wrong(name, "holds something that is no bin");
      break;
    }
    bins.emplace_back(item[0].get<std::uint16_t>(), item[1].get<float>());
  }
  return bins;
}

Result<FunctionUse> use_from(const Json& json) {
  policy::IdleHistory::Kept kept;
  codec::Fields fields(json);
  kept.came = bins_from(fields, "came");
  kept.explained = bins_from(fields, "explained");
  for (const Json& item : fields.items("moments")) {
    // Before the year 10000.
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > 253'402'300'800'000'000) {
      fields.wrong("moments", "holds something that is no time");
      break;
    }
    kept.moments_us.push_back(item.get<std::int64_t>());
  }
  FunctionUse use;
  fields.read_time("last", use.last_active);
  THAW_TRY_VOID(fields.outcome());
  use.idle = policy::IdleHistory::restore(kept);
  return use;
}

// NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): it is a key of a map
const std::string& key_text(const std::string& key) { return key; }
const std::string& key_text(const model::FunctionId& key) { return key.str(); }

// Drops the tenth that was used longest ago once there are too many; says which.
template <class Map, class Used>
std::vector<std::string> drop_oldest(Map& map, std::size_t most, Used used) {
  std::vector<std::string> dropped;
  if (map.size() <= most) {
    return dropped;
  }
  std::vector<std::uint64_t> ages;
  ages.reserve(map.size());
  for (const auto& [key, value] : map) {
    ages.push_back(used(value));
  }
  const auto cut = ages.begin() + static_cast<std::ptrdiff_t>(ages.size() / 10);
  std::nth_element(ages.begin(), cut, ages.end());
  std::erase_if(map, [&](const auto& entry) {
    const bool old = used(entry.second) < *cut;
    if (old) {
      dropped.push_back(std::string(key_text(entry.first)));
    }
    return old;
  });
  return dropped;
}

}  // namespace

std::vector<store::Migration> measurement_migrations() {
  using enum store::Type;
  return {{"control",
           1,
           {store::AddTable{.name = "measurement",
                            .columns = {{"kind", text}, {"id", text}, {"record", text}},
                            .key = {"kind", "id"},
                            .rows = store::Rows::keyed}}}};
}

Result<std::unique_ptr<Measurements>> Measurements::open(store::Database* database) {
  std::unique_ptr<Measurements> self(new Measurements(database));
  if (database != nullptr) {
    THAW_TRY_VOID(self->load());
  }
  return self;
}

Result<void> Measurements::read_record(const std::string& kind, const std::string& id,
                                       const std::string& text) {
  THAW_TRY(const Json json, codec::parse_json(text));
  if (kind == "version") {
    THAW_TRY(policy::LevelRecords levels, levels_from(json));
    if (versions_.size() < most_versions) {
      versions_[id] = {levels, ++clock_};
    }
    return ok();
  }
  if (kind == "function") {
    THAW_TRY(FunctionUse use, use_from(json));
    if (functions_.size() < most_functions) {
      auto function = std::make_unique<Function>();
      function->use = std::move(use);
      function->used = ++clock_;
      functions_[model::FunctionId(id)] = std::move(function);
    }
    return ok();
  }
  return Error::data_loss("its kind is none");
}

Result<void> Measurements::load() {
  std::vector<store::Unreadable> unreadable;
  THAW_TRY_VOID(database_->read_now([&](store::Transaction& transaction) {
    return transaction.scan(
        measurement, {},
        {MeasurementColumn::kind, MeasurementColumn::id, MeasurementColumn::record},
        [&](const store::Row<MeasurementColumn>& row) {
          const std::string kind = row.text(MeasurementColumn::kind);
          const std::string id = row.text(MeasurementColumn::id);
          const auto read = read_record(kind, id, row.text(MeasurementColumn::record));
          if (!read) {
            unreadable.push_back({&measurement, row.place(), "measurement of " + kind + " " + id,
                                  read.error().message()});
          }
        });
  }));
  for (store::Unreadable& row : unreadable) {
    store::set_aside_later(*database_, std::move(row));
  }
  return ok();
}

Measurements::Version& Measurements::version_of(const std::string& version) {
  const bool is_new = !versions_.contains(version);
  Version& found = versions_[version];
  found.used = ++clock_;
  dirty_versions_.insert(version);
  if (is_new) {
    const auto gone =
        drop_oldest(versions_, most_versions, [](const Version& v) { return v.used; });
    dropped_versions_.insert(dropped_versions_.end(), gone.begin(), gone.end());
  }
  return found;
}

void Measurements::started(const std::string& version, Level level, Duration time) {
  policy::LevelRecords& levels = version_of(version).levels;
  for (policy::LevelRecord& record : levels.all) {
    ++record.since_start;
  }
  policy::LevelRecord& record = levels.of(level);
  ++record.starts;
  record.since_start = 0;
  record.failures = 0;
  learn(record.time, std::max<Duration>(time, 1us));
}

void Measurements::failed(const std::string& version, Level level, Instant now) {
  policy::LevelRecord& record = version_of(version).levels.of(level);
  ++record.failures;
  record.last_failure = now;
}

void Measurements::forgive(const std::string& version, Level level) {
  version_of(version).levels.of(level).failures = 0;
}

void Measurements::used_memory(const std::string& version, Level level, std::uint64_t bytes) {
  learn(version_of(version).levels.of(level).memory_bytes, bytes);
}

const policy::LevelRecords& Measurements::levels_of(const std::string& version) const {
  static const policy::LevelRecords none;
  const auto found = versions_.find(version);
  return found == versions_.end() ? none : found->second.levels;
}

FunctionUse& Measurements::use_of(const model::FunctionId& function) {
  auto& found = functions_[function];
  const bool is_new = found == nullptr;
  if (is_new) {
    found = std::make_unique<Function>();
  }
  found->used = ++clock_;
  FunctionUse& use = found->use;
  if (is_new) {
    const auto gone = drop_oldest(functions_, most_functions,
                                  [](const std::unique_ptr<Function>& f) { return f->used; });
    dropped_functions_.insert(dropped_functions_.end(), gone.begin(), gone.end());
  }
  return use;
}

void Measurements::forget(const model::FunctionId& function) {
  if (functions_.erase(function) > 0) {
    dropped_functions_.push_back(function.str());
  }
}

void Measurements::keep_only(const std::function<bool(const std::string& version)>& is_there) {
  std::erase_if(versions_, [&](const auto& entry) {
    const bool gone = !is_there(entry.first);
    if (gone) {
      dropped_versions_.push_back(entry.first);
    }
    return gone;
  });
}

std::vector<std::pair<model::FunctionId, WallTime>> Measurements::known_functions() const {
  std::vector<std::pair<model::FunctionId, WallTime>> known;
  for (const auto& [id, function] : functions_) {
    known.emplace_back(id, function->use.last_active);
  }
  return known;
}

void Measurements::save() {
  const bool nothing = dirty_versions_.empty() && dirty_functions_.empty() &&
                       dropped_versions_.empty() && dropped_functions_.empty();
  if (database_ == nullptr || nothing) {
    dropped_versions_.clear();
    dropped_functions_.clear();
    return;
  }
  struct Entry {
    std::string kind;
    std::string id;
    std::string record;
  };
  std::vector<Entry> entries;
  for (const std::string& id : dirty_versions_) {
    if (const auto found = versions_.find(id); found != versions_.end()) {
      entries.push_back({"version", id, codec::dump_json(json_of(found->second.levels))});
    }
  }
  for (const model::FunctionId& id : dirty_functions_) {
    if (const auto found = functions_.find(id); found != functions_.end()) {
      entries.push_back({"function", id.str(), codec::dump_json(json_of(found->second->use))});
    }
  }
  std::vector<Entry> gone;
  for (const std::string& id : std::exchange(dropped_versions_, {})) {
    gone.push_back({"version", id, {}});
  }
  for (const std::string& id : std::exchange(dropped_functions_, {})) {
    gone.push_back({"function", id, {}});
  }
  dirty_versions_.clear();
  dirty_functions_.clear();
  database_->write_later([entries = std::move(entries),
                          gone = std::move(gone)](store::Transaction& transaction) -> Result<void> {
    for (const Entry& entry : entries) {
      THAW_TRY_VOID(transaction.put(measurement, {{MeasurementColumn::kind, entry.kind},
                                                  {MeasurementColumn::id, entry.id},
                                                  {MeasurementColumn::record, entry.record}}));
    }
    for (const Entry& entry : gone) {
      THAW_TRY_VOID(transaction.erase(measurement, {entry.kind, entry.id}));
    }
    return ok();
  });
}

void note_memory(Measurements& measurements, Container& container, Instant now) {
  constexpr Duration seldom = 10s;
  const bool is_known = container.measured.memory_seen != Instant{};
  if (!container.running || !container.idle() || container.work.calls_served == 0 ||
      (is_known && now < container.measured.memory_seen + seldom)) {
    return;
  }
  container.measured.memory_seen = now;
  if (const std::uint64_t bytes = container.running->memory_bytes(); bytes > 0) {
    measurements.used_memory(container.spec->version, container.start.level, bytes);
  }
}

}  // namespace thaw::control
