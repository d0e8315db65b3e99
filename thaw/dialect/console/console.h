// SPDX-License-Identifier: Apache-2.0
//
// Console: JSON for the `thaw` command over the admin socket, and what probes and scrapers read on
// the main port. Only peers of the admin socket may use /admin. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "thaw/catalog/catalog.h"
#include "thaw/codec/json.h"
#include "thaw/codec/prometheus.h"
#include "thaw/control/disk_watch.h"
#include "thaw/control/fleet.h"
#include "thaw/control/storage_loop.h"
#include "thaw/gateway/access.h"
#include "thaw/gateway/logins.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"
#include "thaw/net/server.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/disk_shares.h"

namespace thaw::dialect::console {

struct Parts {
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  logs::LogHub& logs;
  control::Fleet& fleet;
  gateway::Access& access;
  net::Server& server;
  const store::DiskShares& disk;
  const control::StorageLoop& storage;
  const control::DiskWatch& disk_watch;
  image::Builder& images;
  // Prefixes of the paths that the server answers at.
  std::function<std::vector<std::string>()> routes;
  // Shell variables for the clients that this server speaks to, with a token that is good now.
  std::function<async::Task<std::map<std::string, std::string>>()> client_environment;
  // Records that could not be read, by their table.
  std::function<async::Task<std::map<std::string, std::int64_t>>()> set_aside;
  // What else this server counts: name, what it is, value. Empty: nothing.
  struct Count {
    std::string_view name;
    std::string_view what;
    enum class Kind { counter, gauge } kind = Kind::counter;
    double value = 0;
  };
  std::function<std::vector<Count>()> more_counts = {};
  gateway::Logins& logins;
};

class Console {
 public:
  explicit Console(Parts parts) : parts_(std::move(parts)), began_(monotonic_now()) {}

  async::Task<void> serve_admin(net::HttpExchange& exchange);     // /admin/…
  async::Task<void> serve_app_page(net::HttpExchange& exchange);  // /apps/…
  async::Task<void> serve_health(net::HttpExchange& exchange);    // /healthz
  async::Task<void> serve_metrics(net::HttpExchange& exchange);   // /metrics

 private:
  void add_storage(codec::PrometheusText& text) const;
  async::Task<std::string> answer_for(net::HttpExchange& exchange);
  async::Task<std::string> logs(net::HttpExchange& exchange);
  async::Task<std::string> call(net::HttpExchange& exchange, std::string id);
  async::Task<std::string> tokens(net::HttpExchange& exchange);        // console_tokens.cc
  async::Task<std::string> create_token(net::HttpExchange& exchange);  // console_tokens.cc
  async::Task<std::string> rotate_token(net::HttpExchange& exchange, model::TokenId id);
  codec::Json token_json(const model::Token& token) const;
  codec::Json shown_once(const gateway::NewToken& made, const std::string& prefix) const;
  async::Task<std::string> create_workspace(net::HttpExchange& exchange);
  async::Task<std::string> approve_login(net::HttpExchange& exchange);
  Result<model::WorkspaceId> workspace_asked_for(const std::string& name) const;
  async::Task<std::string> import_image(net::HttpExchange& exchange);
  bool may_read_metrics(const net::HttpRequest& request) const;

  Parts parts_;
  Instant began_;
};

}  // namespace thaw::dialect::console
