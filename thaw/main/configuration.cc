// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/configuration.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>

namespace thaw::main_program {

namespace {

using Setter = std::function<bool(const toml::node&, Configuration&)>;

// Each key, where it goes, and (by returning false) whether its value makes sense.
const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> table = {
      {"gpu.when_missing",
       [](const toml::node& node, Configuration& c) {
         const std::string value = node.value_or(std::string());
         c.fleet.missing_gpu = value == "cpu" ? control::FleetOptions::MissingGpu::cpu
                                              : control::FleetOptions::MissingGpu::error;
         return value == "cpu" || value == "error";
       }},
      {"network.bridge",
       [](const toml::node& node, Configuration& c) {
         c.bridge_address = node.value_or(std::string());
         return !c.bridge_address.empty();
       }},
      {"images.cache",
       [](const toml::node& node, Configuration& c) {
         c.cache_folder = node.value_or(std::string());
         return c.cache_folder.starts_with("/");
       }},
      {"containers.max",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{0});
         c.fleet.max_containers = static_cast<std::size_t>(std::max<std::int64_t>(value, 0));
         return value > 0;
       }},
      {"containers.max_starting",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{0});
         c.fleet.max_starting = static_cast<std::size_t>(std::max<std::int64_t>(value, 0));
         return value > 0;
       }},
      {"cold_start.forked",
       [](const toml::node& node, Configuration& c) {
         c.templates.enabled = node.value_or(true);
         return node.is_boolean();
       }},
      {"cold_start.templates",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{-1});
         c.templates.max = static_cast<std::size_t>(std::max<std::int64_t>(value, 0));
         return value >= 0;
       }},
      {"cold_start.template_min_free_mb",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{-1});
         c.templates.min_free_bytes = static_cast<std::uint64_t>(value) << 20;
         return value >= 0;
       }},
      {"cold_start.templates_ahead",
       [](const toml::node& node, Configuration& c) {
         c.fleet.expects = node.value_or(true);
         return node.is_boolean();
       }},
      {"cold_start.learn_imports",
       [](const toml::node& node, Configuration& c) {
         c.templates.learns = node.value_or(true);
         return node.is_boolean();
       }},
      {"cold_start.spare_forks",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{-1});
         c.templates.spares = static_cast<std::size_t>(std::clamp<std::int64_t>(value, 0, 16));
         return value >= 0 && value <= 16;
       }},
      {"containers.default_memory_mb",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{-1});
         c.fleet.default_memory_bytes = static_cast<std::uint64_t>(value) << 20;
         return value >= 0;
       }},
      {"cold_start.frozen",
       [](const toml::node& node, Configuration& c) {
         using Use = control::FreezerOptions::Use;
         c.fleet.freezer.use = node.value_or(false) ? Use::on : Use::off;
         return node.is_boolean();
       }},
      {"cold_start.freeze_after_s",
       [](const toml::node& node, Configuration& c) {
         const double value = node.value_or(-1.0);
         const bool makes_sense = value >= 0 && value <= 3600;
         c.fleet.freezer.after =
             std::chrono::microseconds(makes_sense ? static_cast<std::int64_t>(value * 1e6) : 0);
         return makes_sense;
       }},
      {"volumes.ephemeral_timeout_s",
       [](const toml::node& node, Configuration& c) {
         c.ephemeral_volume_s = static_cast<int>(node.value_or(std::int64_t{-1}));
         return c.ephemeral_volume_s > 0;
       }},
      {"containers.memory_price",
       [](const toml::node& node, Configuration& c) {
         c.fleet.keep_alive.price_per_gb = node.value_or(-1.0);
         return c.fleet.keep_alive.price_per_gb > 0;
       }},
      {"containers.longest_idle_s",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{-1});
         c.fleet.keep_alive.longest_held = std::chrono::seconds(value);
         c.fleet.shortest_window =
             std::min(c.fleet.shortest_window, c.fleet.keep_alive.longest_held);
         return value >= 0 && value <= 86'400;
       }},
      {"cold_start.restored",
       [](const toml::node& node, Configuration& c) {
         c.restores = node.value_or(true);
         return node.is_boolean();
       }},
      {"cold_start.criu",
       [](const toml::node& node, Configuration& c) {
         c.criu = node.value_or(std::string());
         return c.criu.starts_with("/");
       }},
      {"cold_start.snapshots",
       [](const toml::node& node, Configuration& c) {
         c.snapshots_folder = node.value_or(std::string());
         return c.snapshots_folder.starts_with("/");
       }},
      {"cold_start.snapshots_gb",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{0});
         c.snapshots.bytes = static_cast<std::uint64_t>(value) << 30;
         return value > 0 && value < 1'000'000;
       }},
      {"cold_start.snapshots_unused_days",
       [](const toml::node& node, Configuration& c) {
         const auto value = node.value_or(std::int64_t{0});
         c.snapshots.unused = value * 24h;
         return value > 0 && value < 10'000;
       }},
      {"server.drain_s",
       [](const toml::node& node, Configuration& c) {
         c.drain_s = static_cast<int>(node.value_or(std::int64_t{-1}));
         return c.drain_s >= 0;
       }},
  };
  return table;
}

Result<void> apply(const toml::table& file, const std::string& path, Configuration& out) {
  for (const auto& [section, node] : file) {
    const std::string section_name(section.str());
    if (!node.is_table()) {
      return Error::invalid_argument(path + ": '" + section_name + "' is no section of this file");
    }
    for (const auto& [key, value] : *node.as_table()) {
      const std::string name = section_name + "." + std::string(key.str());
      const auto setter = setters().find(name);
      const std::string place = path + ":" + std::to_string(value.source().begin.line);
      if (setter == setters().end()) {
        return Error::invalid_argument(place + ": unknown key " + name);
      }
      if (!setter->second(value, out)) {
        return Error::invalid_argument(place + ": the value of " + name + " makes no sense");
      }
    }
  }
  return ok();
}

}  // namespace

Result<Configuration> read_configuration(const std::string& path) {
  Configuration configuration;
  if (!path.empty()) {
    try {
      THAW_TRY_VOID(apply(toml::parse_file(path), path, configuration));
    } catch (const toml::parse_error& failure) {
      return Error::invalid_argument(path + ":" + std::to_string(failure.source().begin.line) +
                                     ": " + std::string(failure.description()));
    }
  }
  if (const char* cache = std::getenv("THAW_IMAGE_CACHE"); cache != nullptr && *cache != '\0') {
    configuration.cache_folder = cache;
  }
  return configuration;
}

}  // namespace thaw::main_program
