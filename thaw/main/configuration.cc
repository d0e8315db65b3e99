// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/configuration.h"

#include <stdexcept>

namespace {
[[noreturn]] void not_read_by_the_library() {
  throw std::logic_error("something that the reader of TOML does not know");
}
}  // namespace
// The library asserts some of what a file says, and a file may say anything.
#define TOML_ASSERT(holds) ((holds) ? void() : not_read_by_the_library())
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <system_error>

#include "thaw/codec/toml_text.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/image/image_name.h"
#include "thaw/os/netlink.h"

namespace thaw::main_program {

namespace {

using Setter = std::function<bool(const toml::node&, Configuration&)>;

constexpr std::int64_t longest_s = 366 * 86'400;
constexpr std::size_t longest_told = 100;  // of what stands in the file
constexpr std::int64_t largest_mb = std::int64_t{1} << 30;

// False unless it is an integer in this range; what does not fit never reaches `out`.
template <class Number>
bool read_number(const toml::node& node, std::int64_t low, std::int64_t high, Number& out) {
  const auto value = node.value_exact<std::int64_t>();
  if (!value || *value < low || *value > high) {
    return false;
  }
  out = static_cast<Number>(*value);
  return true;
}

bool read_megabytes(const toml::node& node, std::uint64_t& bytes) {
  std::uint64_t megabytes = 0;
  const bool makes_sense = read_number(node, 0, largest_mb, megabytes);
  bytes = makes_sense ? megabytes << 20 : bytes;
  return makes_sense;
}
bool read_gigabytes(const toml::node& node, std::uint64_t& bytes) {
  const double gigabytes = node.value_or(-1.0);
  const bool makes_sense = gigabytes >= 0 && gigabytes <= 1e6;
  bytes = makes_sense ? static_cast<std::uint64_t>(gigabytes * double{1 << 30}) : bytes;
  return makes_sense;
}

bool read_seconds(const toml::node& node, Duration& out) {
  int seconds = 0;
  const bool makes_sense = read_number(node, 1, longest_s, seconds);
  out = std::chrono::seconds(seconds);
  return makes_sense;
}

// A list of "10.0.0.0/8" and the like; an address alone is a network of one.
bool read_networks(const toml::node& node, std::vector<std::string>& out) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() > 1000) {
    return false;
  }
  std::vector<std::string> networks;
  for (const toml::node& element : *list) {
    std::string text = element.value_or(std::string());
    text += text.find('/') == std::string::npos ? "/32" : "";
    const auto network = os::Subnet::parse(text);
    if (!network) {
      return false;
    }
    networks.push_back(os::Subnet{network->address & network->mask(), network->prefix}.to_string());
  }
  out = std::move(networks);
  return true;
}

// Registries: "host", "host:port".
bool read_sinks(const toml::node& node, gateway::SinkRules& out) {
  std::vector<std::string> allowed;
  const toml::array* all = node.as_array();
  for (std::size_t i = 0; all && i < all->size() && i < 1'001; ++i) {
    allowed.push_back((*all)[i].value_or(std::string()));
  }
  auto rules = gateway::SinkRules::parse(allowed);
  if (!all || all->size() > 1'000 || !rules) {
    return false;
  }
  out = std::move(*rules);
  return true;
}

bool read_hosts(const toml::node& node, std::vector<std::string>& out) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() > 1000) {
    return false;
  }
  std::vector<std::string> hosts;
  for (const toml::node& element : *list) {
    hosts.push_back(element.value_or(std::string()));
    if (!image::is_registry_host(hosts.back())) {
      return false;
    }
  }
  out = std::move(hosts);
  return true;
}

// { cert = "FILE", key = "FILE", names = ["host"] }; without a key it is behind the certificate.
bool read_certificate(const toml::node& node, net::TlsFiles& out) {
  const toml::table* one = node.as_table();
  if (one == nullptr) {
    return false;
  }
  for (const auto& [key, value] : *one) {
    const toml::array* list = value.as_array();
    if (key.str() == "names" && list != nullptr && list->size() <= 1000) {
      for (const toml::node& name : *list) {
        out.names.push_back(name.value_or(std::string()));
      }
    } else if (key.str() == "cert" && value.is_string()) {
      out.certificate = value.value_or(std::string());
    } else if (key.str() == "key" && value.is_string()) {
      out.key = value.value_or(std::string());
    } else {
      return false;
    }
  }
  out.key = out.key.empty() ? out.certificate : out.key;
  return !out.certificate.empty() &&
         std::find(out.names.begin(), out.names.end(), "") == out.names.end();
}

bool read_certificates(const toml::node& node, std::vector<net::TlsFiles>& out) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->empty() || list->size() > 1000) {
    return false;
  }
  for (const toml::node& one : *list) {
    if (!read_certificate(one, out.emplace_back())) {
      return false;
    }
  }
  return true;
}

// A number as it is written; of more than nine decimals the nearest that has nine.
bool read_price(const toml::node& node, policy::Money& out) {
  const double price = node.value_or(-1.0);
  const bool makes_sense = price >= 0 && price <= 1e6;
  out = makes_sense ? std::llround(price * 1e9) : out;
  return makes_sense;
}
bool read_price_seconds(const toml::node& node, std::int64_t& out_us) {
  const double seconds = node.value_or(-1.0);
  const bool makes_sense = seconds >= 0 && seconds <= 86'400;
  out_us = makes_sense ? std::llround(seconds * 1e6) : out_us;
  return makes_sense;
}

constexpr std::string_view price_keys[] = {
    "per_call",   "second",         "cpu_second", "gb_second", "frozen_gb_second",
    "gpu_second", "keep_warm_hour", "round_to_s", "minimum_s", "percent"};

// A key of a table of prices.
bool read_price_key(std::string_view key, const toml::node& node, policy::PriceTable& out) {
  if (key == "gpu_second") {
    const toml::table* kinds = node.as_table();
    if (kinds == nullptr || kinds->size() > 100) {
      return false;
    }
    for (const auto& [kind, price] : *kinds) {
      if (!read_price(price, out.gpu_second[std::string(kind.str())])) {
        return false;
      }
    }
    return true;
  }
  if (key == "percent") {
    return read_number(node, 0, 1'000, out.percent);
  }
  if (key == "round_to_s" || key == "minimum_s") {
    return read_price_seconds(node, key == "round_to_s" ? out.round_to_us : out.minimum_us);
  }
  const std::pair<std::string_view, policy::Money*> prices[] = {
      {"per_call", &out.per_call},
      {"second", &out.second},
      {"cpu_second", &out.cpu_second},
      {"gb_second", &out.gb_second},
      {"frozen_gb_second", &out.frozen_gb_second},
      {"keep_warm_hour", &out.keep_warm_hour}};
  return std::any_of(std::begin(prices), std::end(prices), [&](const auto& price) {
    return price.first == key && read_price(node, *price.second);
  });
}

// What [prices] itself says holds from the beginning, until the first of its tables does.
policy::PriceTable& first_prices(policy::Prices& prices) {
  if (prices.tables.empty() || prices.tables.front().from_day != 0) {
    prices.tables.insert(prices.tables.begin(), policy::PriceTable());
  }
  return prices.tables.front();
}

// [[prices.tables]] from = "2026-12-01" …
bool read_price_tables(const toml::node& node, policy::Prices& out) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() > 1000) {
    return false;
  }
  for (const toml::node& one : *list) {
    const toml::table* keys = one.as_table();
    if (keys == nullptr) {
      return false;
    }
    policy::PriceTable table;
    for (const auto& [key, value] : *keys) {
      const bool is_day = key.str() == "from";
      const auto day = policy::parse_day(value.value_or(std::string()));
      if (is_day ? !day : !read_price_key(key.str(), value, table)) {
        return false;
      }
      table.from_day = is_day ? *day : table.from_day;
    }
    if (table.from_day == 0) {
      return false;
    }
    out.tables.push_back(std::move(table));
  }
  std::stable_sort(out.tables.begin(), out.tables.end(),
                   [](const auto& a, const auto& b) { return a.from_day < b.from_day; });
  return true;
}

using Setters = std::map<std::string, Setter>;
Setters with_prices(Setters table) {
  for (const std::string_view key : price_keys) {
    table["prices." + std::string(key)] = [key](const toml::node& node, Configuration& c) {
      return read_price_key(key, node, first_prices(c.prices));
    };
  }
  return table;
}

// Each key, where it goes, and (by returning false) whether its value makes sense.
const Setters& setters() {
  static const Setters table = with_prices({
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
      {"network.refuse", [](const toml::node& node,
                            Configuration& c) { return read_networks(node, c.refused_networks); }},
      {"network.allow", [](const toml::node& node,
                           Configuration& c) { return read_networks(node, c.allowed_networks); }},
      {"web.domain",
       [](const toml::node& node, Configuration& c) {
         c.web_domain = node.value_or(std::string());
         return gateway::check_domain(c.web_domain).has_value();
       }},
      {"web.trusted_proxies",
       [](const toml::node& node, Configuration& c) {
         std::vector<std::string> networks;
         const toml::array* all = node.as_array();
         for (std::size_t i = 0; all && i < all->size(); ++i) {
           networks.push_back((*all)[i].value_or(std::string()));
         }
         auto parsed = gateway::TrustedProxies::parse(networks);
         if (!all || !parsed) {
           return false;
         }
         c.trusted_proxies = std::move(*parsed);
         return true;
       }},
      {"callbacks.allow",
       [](const toml::node& node, Configuration& c) { return read_sinks(node, c.sinks); }},
      {"buckets.allow",
       [](const toml::node& node, Configuration& c) { return read_sinks(node, c.buckets); }},
      {"callbacks.authorities",
       [](const toml::node& node, Configuration& c) {
         c.callback_authorities = node.value_or(std::string());
         std::error_code no_such_file;
         return std::filesystem::is_regular_file(c.callback_authorities, no_such_file);
       }},
      {"network.tunnels",
       [](const toml::node& node, Configuration& c) {
         c.has_tunnels = node.value_or(true);
         return node.is_boolean();
       }},
      {"login.click_on_loopback",
       [](const toml::node& node, Configuration& c) {
         using Click = gateway::LoginPageOptions::Click;
         c.login_page.click = node.value_or(false) ? Click::loopback : Click::never;
         return node.is_boolean();
       }},
      {"containers.own_ids",
       [](const toml::node& node, Configuration& c) {
         using OwnIds = sandbox::SpawnerOptions::OwnIds;
         const std::string value = node.value_or(std::string());
         c.own_ids = value == "required" ? OwnIds::required
                     : value == "off"    ? OwnIds::off
                                         : OwnIds::where_possible;
         return value == "auto" || value == "required" || value == "off";
       }},
      {"images.cache",
       [](const toml::node& node, Configuration& c) {
         c.cache_folder = node.value_or(std::string());
         return c.cache_folder.starts_with("/");
       }},
      {"images.default_registry",
       [](const toml::node& node, Configuration& c) {
         c.registries.default_registry = node.value_or(std::string());
         return node.is_string() && (c.registries.default_registry.empty() ||
                                     image::is_registry_host(c.registries.default_registry));
       }},
      {"images.registries", [](const toml::node& node,
                               Configuration& c) { return read_hosts(node, c.registries.only); }},
      {"images.insecure_registries",
       [](const toml::node& node, Configuration& c) {
         return read_hosts(node, c.registries.insecure);
       }},
      {"images.registry_authorities",
       [](const toml::node& node, Configuration& c) {
         c.registries.authorities_file = node.value_or(std::string());
         std::error_code no_such_file;
         return std::filesystem::is_regular_file(c.registries.authorities_file, no_such_file);
       }},
      {"images.pull_gb",
       [](const toml::node& node, Configuration& c) {
         return read_gigabytes(node, c.registries.image_bytes) && c.registries.image_bytes > 0;
       }},
      {"images.layer_gb",
       [](const toml::node& node, Configuration& c) {
         return read_gigabytes(node, c.registries.layer_bytes) && c.registries.layer_bytes > 0;
       }},
      {"images.layer_entries",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 100'000'000, c.registries.layer_entries);
       }},
      {"images.step_memory_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.step_memory_bytes);
       }},
      {"registry.names", [](const toml::node& node,
                            Configuration& c) { return read_hosts(node, c.registry.names); }},
      {"registry.repositories",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 100'000, c.registry.limits.repositories);
       }},
      {"registry.tags",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 100'000, c.registry.limits.tags);
       }},
      {"registry.uploads",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 1'000, c.registry.uploads.of_workspace);
       }},
      {"registry.upload_idle_s",
       [](const toml::node& node, Configuration& c) {
         return read_seconds(node, c.registry.uploads.idle);
       }},
      {"registry.keep_new_s",
       [](const toml::node& node, Configuration& c) {
         return read_seconds(node, c.registry.unused.young);
       }},
      {"registry.keep_untagged_s",
       [](const toml::node& node, Configuration& c) {
         return read_seconds(node, c.registry.unused.keep_untagged);
       }},
      {"registry.untagged_gb",
       [](const toml::node& node, Configuration& c) {
         return read_gigabytes(node, c.registry.unused.untagged_bytes);
       }},
      {"containers.max",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 100'000, c.fleet.max_containers);
       }},
      {"containers.max_boxes",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 100'000, c.boxes.boxes);
       }},
      {"containers.boxes_outlive_server",
       [](const toml::node& node, Configuration& c) {
         c.boxes_outlive_server = node.value_or(true);
         return node.is_boolean();
       }},
      {"containers.max_starting",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 10'000, c.fleet.max_starting);
       }},
      {"cold_start.forked",
       [](const toml::node& node, Configuration& c) {
         c.templates.enabled = node.value_or(true);
         return node.is_boolean();
       }},
      {"cold_start.templates",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 0, 10'000, c.templates.max);
       }},
      {"cold_start.template_min_free_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.templates.min_free_bytes);
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
         return read_number(node, 0, 16, c.templates.spares);
       }},
      {"containers.default_memory_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.fleet.default_memory_bytes);
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
      {"cold_start.standby_s",
       [](const toml::node& node, Configuration& c) {
         int seconds = 0;
         const bool makes_sense = read_number(node, 0, 7 * 24 * 3'600, seconds);
         c.fleet.standby.unused = std::chrono::seconds(seconds);
         return makes_sense;
       }},
      {"cold_start.standby_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.fleet.standby.bytes_of_one);
       }},
      {"limits.workspace_disk_gb",
       [](const toml::node& node, Configuration& c) {
         return read_gigabytes(node, c.disk.bytes_per_owner.emplace());
       }},
      {"limits.workspace_log_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.storage.log_bytes_per_workspace);
       }},
      {"limits.container_disk_gb",
       [](const toml::node& node, Configuration& c) {
         return read_gigabytes(node, c.disk_watch.root_bytes);
       }},
      {"storage.look_every_s",
       [](const toml::node& node, Configuration& c) {
         int seconds = 0;
         const bool makes_sense = read_number(node, 1, 3'600, seconds);
         c.disk_watch.period = std::chrono::seconds(seconds);
         c.disk_watch.volumes_period = c.disk_watch.period;
         return makes_sense;
       }},
      {"limits.reserve_disk_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.disk.reserve_bytes);
       }},
      {"storage.keep_unused_s",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 0, longest_s, c.keep_unused_s);
       }},
      {"storage.keep_unused_mounts_s",
       [](const toml::node& node, Configuration& c) {
         int seconds = 0;
         const bool makes_sense = read_number(node, 0, longest_s, seconds);
         c.storage.keep_unused_mounts = std::chrono::seconds(seconds);
         return makes_sense;
       }},
      {"storage.sweep_every_s",
       [](const toml::node& node, Configuration& c) {
         int seconds = 0;
         const bool makes_sense = read_number(node, 1, 86'400, seconds);
         c.storage.period = std::chrono::seconds(seconds);
         return makes_sense;
       }},
      {"volumes.ephemeral_timeout_s",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, longest_s, c.ephemeral_volume_s);
       }},
      {"state.ephemeral_timeout_s",
       [](const toml::node& node, Configuration& c) {
         int seconds = 0;
         const bool makes_sense = read_number(node, 1, longest_s, seconds);
         c.named_states.ephemeral_limit = std::chrono::seconds(seconds);
         return makes_sense;
       }},
      {"state.mb_per_workspace",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.state.bytes);
       }},
      {"state.entries_per_workspace",
       [](const toml::node& node, Configuration& c) {
         int entries = 0;
         const bool makes_sense = read_number(node, 1, 1'000'000'000, entries);
         c.state.entries = static_cast<std::size_t>(entries);
         return makes_sense;
       }},
      {"containers.memory_price",
       [](const toml::node& node, Configuration& c) {
         const double value = node.value_or(-1.0);
         const bool makes_sense = value > 0 && value <= 1e9;
         c.fleet.keep_alive.price_per_gb = makes_sense ? value : c.fleet.keep_alive.price_per_gb;
         return makes_sense;
       }},
      {"containers.longest_idle_s",
       [](const toml::node& node, Configuration& c) {
         int seconds = 0;
         if (!read_number(node, 0, 86'400, seconds)) {
           return false;
         }
         c.fleet.keep_alive.longest_held = std::chrono::seconds(seconds);
         c.fleet.shortest_window =
             std::min(c.fleet.shortest_window, c.fleet.keep_alive.longest_held);
         return true;
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
         std::uint64_t gigabytes = 0;
         const bool makes_sense = read_number(node, 1, 999'999, gigabytes);
         c.snapshots.bytes = gigabytes << 30;
         return makes_sense;
       }},
      {"cold_start.snapshots_unused_days",
       [](const toml::node& node, Configuration& c) {
         int days = 0;
         const bool makes_sense = read_number(node, 1, 9'999, days);
         c.snapshots.unused = days * 24h;
         return makes_sense;
       }},
      {"catalog.objects_per_workspace",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 1'000'000'000, c.catalog.objects);
       }},
      {"catalog.mb_per_workspace",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.catalog.bytes);
       }},
      {"catalog.object_mb",
       [](const toml::node& node, Configuration& c) {
         return read_megabytes(node, c.catalog.object_bytes);
       }},
      {"catalog.keep_stopped_s",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 0, longest_s, c.keep_stopped_s);
       }},
      {"catalog.keep_versions",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 1'000, c.keep_versions);
       }},
      {"calls.keep_results_s",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, longest_s, c.keep_results_s);
       }},
      {"catalog.keep_deployments",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, 100, c.keep_deployments);
       }},
      {"catalog.keep_unused_s",
       [](const toml::node& node, Configuration& c) {
         return read_number(node, 1, longest_s, c.forget_unused_s);
       }},
      {"server.tls", [](const toml::node& node,
                        Configuration& c) { return read_certificates(node, c.tls.files); }},
      {"server.tls_authority",
       [](const toml::node& node, Configuration& c) {
         c.tls.authority_file = node.value_or(std::string());
         std::error_code no_such_file;
         return std::filesystem::is_regular_file(c.tls.authority_file, no_such_file);
       }},
      {"server.plain_because",
       [](const toml::node& node, Configuration& c) {
         c.tls.plain_because = node.value_or(std::string());
         return c.tls.plain_because.find_first_not_of(" \t\n") != std::string::npos;
       }},
      {"server.buffers_mb",
       [](const toml::node& node, Configuration& c) {
         std::uint64_t megabytes = 0;
         const bool makes_sense = read_number(node, 4, largest_mb, megabytes);
         c.limits.buffer_bytes = makes_sense ? megabytes << 20 : c.limits.buffer_bytes;
         return makes_sense;
       }},
      {"server.connections",
       [](const toml::node& node,
          Configuration& c) { return read_number(node, 8, 100'000, c.limits.connections); }},
      {"schedules.make_good_s",
       [](const toml::node& node,
          Configuration& c) { return read_number(node, 0, 12 * 3600, c.make_good_s); }},
      {"server.drain_s",
       [](const toml::node& node,
          Configuration& c) { return read_number(node, 0, longest_s, c.drain_s); }},
      {"ledger.keep_days",
       [](const toml::node& node, Configuration& c) {
         int days = 0;
         const bool makes_sense = read_number(node, 1, 3'660, days);
         c.ledger.keep = days * 24h;
         return makes_sense;
       }},
      {"prices.currency",
       [](const toml::node& node, Configuration& c) {
         c.prices.currency = node.value_or(std::string());
         return !c.prices.currency.empty() && c.prices.currency.size() <= 10;
       }},
      {"prices.tables", [](const toml::node& node,
                           Configuration& c) { return read_price_tables(node, c.prices); }},
  });
  return table;
}

Result<void> apply(const toml::table& file, const std::string& path, Configuration& out) {
  for (const auto& [section, node] : file) {
    const std::string section_name(section.str());
    if (!node.is_table()) {
      return Error::invalid_argument(path + ": '" + section_name.substr(0, longest_told) +
                                     "' is no section of this file");
    }
    for (const auto& [key, value] : *node.as_table()) {
      const std::string name = section_name + "." + std::string(key.str());
      const auto setter = setters().find(name);
      const std::string place = path + ":" + std::to_string(value.source().begin.line);
      if (setter == setters().end()) {
        return Error::invalid_argument(place + ": unknown key " + name.substr(0, longest_told));
      }
      if (!setter->second(value, out)) {
        return Error::invalid_argument(place + ": the value of " + name + " makes no sense");
      }
    }
  }
  return ok();
}

// Nobody writes a longer one by hand.
Result<std::string> text_of(const std::string& path) {
  constexpr std::size_t most = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  std::string text(most + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.eof()) {
    return Error::invalid_argument("the configuration file " + path +
                                   " cannot be read, or has more than 1 MiB");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

}  // namespace

Result<Configuration> read_configuration(const std::string& path) {
  Configuration configuration;
  if (!path.empty()) {
    std::error_code no_such_file;
    if (std::filesystem::is_directory(path, no_such_file)) {
      return Error::invalid_argument("the configuration file " + path + " is a folder");
    }
    if (!std::filesystem::exists(path, no_such_file)) {
      return Error::not_found("the configuration file " + path + " does not exist");
    }
    try {
      THAW_TRY(const std::string text, text_of(path));
      if (const auto line = codec::stray_line_of_toml(text)) {
        return Error::invalid_argument(path + ":" + std::to_string(*line) +
                                       ": a character that is not ASCII stands outside of quotes");
      }
      THAW_TRY_VOID(apply(toml::parse(text, path), path, configuration));
    } catch (const toml::parse_error& failure) {
      return Error::invalid_argument(path + ":" + std::to_string(failure.source().begin.line) +
                                     ": " + std::string(failure.description()));
    } catch (const std::logic_error& failure) {
      return Error::invalid_argument(path + ": " + failure.what());
    }
  }
  if (const char* cache = std::getenv("THAW_IMAGE_CACHE"); cache != nullptr && *cache != '\0') {
    configuration.cache_folder = cache;
  }
  return configuration;
}

}  // namespace thaw::main_program
