// SPDX-License-Identifier: Apache-2.0
//
// The configuration file (TOML) of `thaw serve`. Every key has a default; an unknown key is an
// error, so that a misspelt one is noticed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/catalog/shares.h"
#include "thaw/control/boxes.h"
#include "thaw/control/disk_watch.h"
#include "thaw/control/fleet.h"
#include "thaw/control/storage_loop.h"
#include "thaw/gateway/login_page.h"
#include "thaw/gateway/named_states.h"
#include "thaw/gateway/own_registry.h"
#include "thaw/gateway/sink_rules.h"
#include "thaw/gateway/web_origin.h"
#include "thaw/image/image.h"
#include "thaw/main/tls_setup.h"
#include "thaw/meter/stored_ledger.h"
#include "thaw/net/server.h"
#include "thaw/policy/price.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/state/limits.h"
#include "thaw/store/disk_shares.h"
#include "thaw/worker/templates.h"

namespace thaw::main_program {

struct Configuration {
  control::FleetOptions fleet;
  control::BoxLimits boxes;          // [containers] max_boxes
  bool boxes_outlive_server = true;  // [containers] boxes_outlive_server
  worker::TemplateSettings templates;
  std::string bridge_address = "auto";                 // [network] bridge
  sandbox::SpawnerOptions::OwnIds own_ids{};           // [containers] own_ids
  std::vector<std::string> refused_networks;           // [network] refuse
  std::vector<std::string> allowed_networks;           // [network] allow
  bool has_tunnels = true;                             // [network] tunnels
  std::string cache_folder = "/var/cache/thaw";        // [images] cache; THAW_IMAGE_CACHE wins
  std::uint64_t step_memory_bytes = 0;                 // [images] step_memory_mb; 0: half of all
  image::RegistrySettings registries;                  // [images] default_registry, …
  std::string criu = "/usr/local/lib/thaw/criu/criu";  // [cold_start] criu
  bool restores = true;                                // [cold_start] restored
  std::string snapshots_folder;                        // [cold_start] snapshots; empty: in DATA
  snapshot::SnapshotLimits snapshots;                  // [cold_start] snapshots_gb, …
  catalog::CatalogLimits catalog;                      // [catalog] mb_per_workspace, …
  int keep_stopped_s = 600;                            // [catalog] keep_stopped_s
  int keep_versions = 10;                              // [catalog] keep_versions
  int keep_deployments = 20;                           // [catalog] keep_deployments
  int forget_unused_s = 7 * 86'400;                    // [catalog] keep_unused_s
  int keep_results_s = 7 * 86'400;                     // [calls] keep_results_s
  store::DiskLimits disk;                              // [limits] workspace_disk_gb, …
  control::DiskWatchOptions disk_watch;                // [limits] container_disk_gb, …
  control::StorageOptions storage;                     // [storage] sweep_every_s, …
  int keep_unused_s = 600;                             // [storage] keep_unused_s
  int ephemeral_volume_s = 900;                        // [volumes] ephemeral_timeout_s
  state::StateLimits state;                            // [state] mb_per_workspace, …
  gateway::NamedStateOptions named_states;             // [state] ephemeral_timeout_s
  std::string web_domain;                              // [web] domain; empty: none
  gateway::TrustedProxies trusted_proxies;             // [web] trusted_proxies
  gateway::SinkRules sinks;                            // [callbacks] allow
  gateway::SinkRules buckets;                          // [buckets] allow
  gateway::OwnRegistryOptions registry;                // [registry] tags, …
  gateway::LoginPageOptions login_page;                // [login] click_on_loopback
  std::string callback_authorities;                    // [callbacks] authorities
  int make_good_s = 3600;                              // [schedules] make_good_s
  int drain_s = 10;                                    // [server] drain_s
  policy::Prices prices;                               // [prices] per_call, …
  meter::LedgerOptions ledger;                         // [ledger] keep_days
  TlsSettings tls;                                     // [server] tls, tls_authority, …
  net::ServerLimits limits;                            // [server] buffers_mb, connections
};

// invalid_argument naming file, line and key.
Result<Configuration> read_configuration(const std::string& path);

}  // namespace thaw::main_program
