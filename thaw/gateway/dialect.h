// SPDX-License-Identifier: Apache-2.0
//
// Dialect: one cloud's protocols, as main and the rest of the server see them. It is constructed
// with the owners of everything (they outlive it), adds its methods and routes, starts once the
// server listens, and only translates: what it needs done is done by them. Loop thread only, but
// for find_references().
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/boxes.h"
#include "thaw/control/fleet.h"
#include "thaw/control/runtime.h"
#include "thaw/gateway/access.h"
#include "thaw/gateway/blob_gate.h"
#include "thaw/gateway/box_visits.h"
#include "thaw/gateway/call_trees.h"
#include "thaw/gateway/callback_dialect.h"
#include "thaw/gateway/clientless_apps.h"
#include "thaw/gateway/container_doors.h"
#include "thaw/gateway/deployments.h"
#include "thaw/gateway/documents.h"
#include "thaw/gateway/environments.h"
#include "thaw/gateway/http_router.h"
#include "thaw/gateway/image_builds.h"
#include "thaw/gateway/invoke.h"
#include "thaw/gateway/kept_versions.h"
#include "thaw/gateway/logins.h"
#include "thaw/gateway/named_states.h"
#include "thaw/gateway/own_registry.h"
#include "thaw/gateway/passage.h"
#include "thaw/gateway/releases.h"
#include "thaw/gateway/sink_rules.h"
#include "thaw/gateway/surroundings.h"
#include "thaw/gateway/tunnels.h"
#include "thaw/gateway/unused.h"
#include "thaw/gateway/web_front.h"
#include "thaw/net/grpc.h"
#include "thaw/store/disk_shares.h"
#include "thaw/store/secret_box.h"
#include "thaw/worker/mount_layers.h"
#include "thaw/worker/volumes.h"

namespace thaw::gateway {

class Costs;
class Schedules;
class TimeZones;

struct Owners {
  async::Loop& loop;
  async::Pool& pool;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  logs::LogHub& logs;
  state::StateStore& state;
  store::BlobStore& blobs;
  store::DiskShares& disk;
  const store::SecretBox& secrets;
  image::Builder& images;
  worker::Volumes& volumes;
  worker::MountLayers& mounts;
  control::Fleet& fleet;
  control::Boxes& boxes;
  Access& access;
  BlobGate& blob_gate;
  ImageBuilds& builds;
  WebLabels& labels;
  WebFront& web;
  Deployments& deployments;
  KeptVersions& versions;
  Passages& passages;
  Invoke& invoke;
  Releases& releases;
  Unused& unused;
  ClientlessApps& clientless;
  NamedStates& named_states;
  CallTrees& call_trees;
  Environments& environments;
  Logins& logins;
  Tunnels& tunnels;
  BoxVisits& box_visits;
  OwnRegistry& registry;
  const SinkRules& sinks;
  Schedules& schedules;
  TimeZones& zones;
  Documents& documents;
  Costs& costs;
};

class Dialect {
 public:
  virtual ~Dialect() = default;

  // What its functions have as FunctionSpec::dialect.
  virtual std::string name() const = 0;
  virtual control::Runtime& runtime() = 0;

  virtual void add_methods(net::GrpcTable& /*table*/) {}
  virtual void add_routes(HttpRouter& /*routes*/) {}
  // Of addresses that this server signs; containers reach them too.
  virtual void add_signed_routes(HttpRouter& /*routes*/) {}
  // A request to the web address of one of its functions.
  virtual async::Task<void> serve_web(net::HttpExchange& exchange, WebTarget target) = 0;

  // Null: its calls have no callbacks.
  virtual CallbackDialect* callbacks() { return nullptr; }

  // A durable call of one of its functions, by its schedule: without arguments, or with what its
  // kind of function is told of the tick.
  virtual Result<CallbackCall> scheduled_call(const Route& /*route*/, WallTime /*tick*/) {
    return Error::unimplemented("functions of " + name() + " cannot be called by a schedule");
  }

  // A request that a program makes at the door of its container, which runs one of its functions;
  // there are doors only where complete_plan() asks for them (worker::LaunchPlan::door_port).
  // NOLINTNEXTLINE(performance-unnecessary-value-param): those of dialects are coroutines
  virtual async::Task<void> serve_container(net::HttpExchange& exchange, DoorVisit /*visit*/) {
    return exchange.answer_error(Error::not_found("nothing is served to containers here"));
  }

  // The names of blobs that a payload of its calls refers to. Any thread.
  virtual void find_references(std::string_view /*payload*/,
                               std::vector<std::string>& /*names*/) const {}
  // By which its clients find this server, for `thaw env`.
  virtual std::map<std::string, std::string> client_environment(const BaseUrl& /*base*/,
                                                                const NewToken& /*token*/) const {
    return {};
  }

  virtual void start(const Surroundings& place) = 0;
  virtual async::Task<void> stop() = 0;
};

}  // namespace thaw::gateway
