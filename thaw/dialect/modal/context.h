// SPDX-License-Identifier: Apache-2.0
//
// What every RPC of the Modal dialect works with: references to the owners (they outlive it), and
// the dialect's own small memory (heartbeats of ephemeral apps, web requests in flight). The RPCs
// are free coroutines in files by topic; rpc.h binds them to the method table. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/fleet.h"
#include "thaw/gateway/access.h"
#include "thaw/gateway/blob_gate.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"
#include "thaw/net/grpc.h"
#include "thaw/net/http_client.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/secret_box.h"
#include "thaw/worker/volumes.h"

namespace thaw::dialect::modal {

struct WebRequest;     // web.h
class ImageBuilds;     // image_builds.h
class ClientPackages;  // client_packages.h

// What main decides about this server.
struct Settings {
  std::string authority;            // host:port at which clients reach this server
  std::string container_authority;  // where containers reach signed blobs
  Duration ephemeral_volume_limit = std::chrono::minutes(15);  // the client beats every 5
};

struct Parts {
  async::Loop& loop;
  async::Pool& pool;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  logs::LogHub& logs;
  store::BlobStore& blobs;
  store::DiskShares& disk;
  const store::SecretBox& secrets;
  image::Builder& images;
  gateway::Access& access;
  gateway::BlobGate& blob_gate;
  net::HttpClient& http;
  ClientPackages& client_packages;
  worker::Volumes& volumes;
};

struct Context {
  explicit Context(Parts p);
  ~Context();

  Parts parts;
  Settings settings;
  control::Fleet* fleet = nullptr;  // set once; the fleet needs the dialect's runtime first

  std::unordered_map<model::AppId, Instant> last_heartbeat;        // of ephemeral apps
  std::unordered_map<model::VolumeId, Instant> volume_heartbeats;  // of ephemeral volumes
  std::set<model::AppId> left_alone;  // detached apps whose client has gone
  std::unordered_map<std::string, model::FunctionId> web_labels;
  std::unordered_map<model::CallId, std::shared_ptr<WebRequest>> web_requests;
  std::deque<std::pair<Instant, model::CallId>> to_forget;  // read synchronous calls
  std::unique_ptr<ImageBuilds> image_builds;
  async::TaskGroup tasks;  // declared last: joined first
};

// Who calls: by token on TCP, by socket in a container.
Result<gateway::Identity> identify(Context& cx, const net::GrpcCall& call);
// The container that calls; permission_denied for anybody else.
Result<model::ContainerId> container_of(Context& cx, const net::GrpcCall& call);
// host:port for URLs that the caller is to use.
std::string authority_for(const Context& cx, const net::GrpcCall& call);

// Objects by id, only inside the caller's workspace; not_found names the thing.
Result<std::shared_ptr<const model::App>> find_app(Context& cx, const gateway::Identity& who,
                                                   const std::string& id);
Result<std::shared_ptr<const catalog::Function>> find_function(Context& cx,
                                                               const gateway::Identity& who,
                                                               const std::string& id);
// The published version; failed_precondition while there is none.
Result<std::shared_ptr<const model::FunctionSpec>> live_spec(const catalog::Function& function);
// "" is the default environment, or the container's own.
Result<std::shared_ptr<const model::Environment>> find_environment(Context& cx,
                                                                   const gateway::Identity& who,
                                                                   const std::string& name);

inline double unix_seconds(WallTime time) { return time == WallTime{} ? 0.0 : to_seconds(time); }

// Long polls are answered a little before the client's own patience ends.
Instant poll_deadline(float timeout_s, Duration most);

}  // namespace thaw::dialect::modal
