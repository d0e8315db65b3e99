// SPDX-License-Identifier: Apache-2.0
//
// Measurements: what the Fleet learnt from containers, for policy/: times and memory of starts by
// version and level, and the idle times of each function. Times are running means that follow the
// last dozen starts. Bounded: of the versions and functions that were used longest ago the oldest
// are dropped. Kept across restarts, saved now and then; a crash costs the last half minute. Loop
// thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/control/container.h"
#include "thaw/model/ids.h"
#include "thaw/policy/idle_history.h"
#include "thaw/policy/levels.h"
#include "thaw/store/database.h"

namespace thaw::control {

std::vector<store::Migration> measurement_migrations();

// The idle times of one function, and when it was last in use.
struct FunctionUse {
  policy::IdleHistory idle;
  WallTime last_active{};
};

class Measurements {
 public:
  static constexpr std::size_t most_versions = 5'000;
  static constexpr std::size_t most_functions = 10'000;

  // Without a database nothing outlives the object.
  static Result<std::unique_ptr<Measurements>> open(store::Database* database);

  void started(const std::string& version, model::Level level, Duration time);
  void failed(const std::string& version, model::Level level, Instant now);
  // What failed was replaced by something new.
  void forgive(const std::string& version, model::Level level);
  void used_memory(const std::string& version, model::Level level, std::uint64_t bytes);
  // Of a version never seen: nothing but defaults.
  const policy::LevelRecords& levels_of(const std::string& version) const;

  FunctionUse& use_of(const model::FunctionId& function);
  void forget(const model::FunctionId& function);
  // The other versions are gone.
  void keep_only(const std::function<bool(const std::string& version)>& is_there);
  void changed(const model::FunctionId& function) { dirty_functions_.insert(function); }
  std::vector<std::pair<model::FunctionId, WallTime>> known_functions() const;

  // Writes what changed since the last time; returns at once.
  void save();

 private:
  explicit Measurements(store::Database* database) : database_(database) {}
  Result<void> load();
  Result<void> read_record(const std::string& kind, const std::string& id, const std::string& text);
  struct Version {
    policy::LevelRecords levels;
    std::uint64_t used = 0;  // a counter; larger is later
  };
  struct Function {
    FunctionUse use;
    std::uint64_t used = 0;
  };
  Version& version_of(const std::string& version);

  store::Database* database_;
  std::unordered_map<std::string, Version> versions_;
  std::unordered_map<model::FunctionId, std::unique_ptr<Function>> functions_;
  std::set<std::string> dirty_versions_;
  std::set<model::FunctionId> dirty_functions_;
  std::vector<std::string> dropped_versions_;  // still on disk
  std::vector<std::string> dropped_functions_;
  std::uint64_t clock_ = 0;
};

// Measures a container that has become idle. What it has in memory after a call is what keeping it
// costs; now and then is enough, since this reads the kernel's files.
void note_memory(Measurements& measurements, Container& container, Instant now);

}  // namespace thaw::control
