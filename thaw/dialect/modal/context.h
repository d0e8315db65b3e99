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
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/dialect/modal/held_output.h"
#include "thaw/dialect/modal/readers.h"
#include "thaw/dialect/modal/url_variants.h"
#include "thaw/gateway/dialect.h"
#include "thaw/net/grpc.h"
#include "thaw/queue/call_queue.h"

namespace thaw::dialect::modal {

struct WebRequest;         // web.h
class ClientPackages;      // client_packages.h
struct ClassesInCreation;  // older_methods.h
class BuildFunctions;      // build_functions.h
struct ObjectsToDeploy;    // older_apps.h

// Arguments and results up to this size travel inside a message; above it clients use signed blob
// URLs. A map sends up to 49 inputs in one message, which is to be within the limit of one: the
// client retries one that is refused for its size without end.
constexpr std::uint64_t most_inline_bytes = 2u << 20;

// How long things are kept; what main decides.
struct Options {
  std::string cache_folder;  // clients' packages are in CLIENTS below it
  Duration ephemeral_volume_limit = std::chrono::minutes(15);  // the client beats every 5
  // From the first look at what is missing until the mount is made: the time of its uploads.
  Duration keep_uploads = std::chrono::hours(1);
};

struct Context {
  Context(const gateway::Owners& owners, Options given);
  ~Context();

  gateway::Owners parts;
  Options options;
  control::Fleet* fleet;
  gateway::SignedUrls volume_urls;
  std::unique_ptr<ClientPackages> client_packages;
  std::unique_ptr<ClassesInCreation> classes_in_creation;
  std::unique_ptr<BuildFunctions> build_functions;
  std::unique_ptr<ObjectsToDeploy> objects_to_deploy;
  gateway::Surroundings place;                     // once the server listens
  std::vector<worker::Bind> sandbox_binds;         // what every sandbox finds; from start() on
  std::uint64_t inline_bytes = most_inline_bytes;  // less where there is little memory

  std::unordered_map<model::VolumeId, Instant> volume_heartbeats;  // of ephemeral volumes
  std::set<model::VolumeId> volumes_in_removal;
  // Cancellations that older clients were told of: they do not say when such an input has ended.
  std::unordered_map<model::ContainerId, std::vector<model::InputId>> unanswered_cancels;
  std::unordered_map<model::CallId, std::shared_ptr<WebRequest>> web_requests;
  std::deque<std::pair<Instant, model::CallId>> to_forget;  // read synchronous calls
  Readers readers;
  UrlVariants url_variants;
  HeldOutput held_output;
  async::TaskGroup tasks;  // declared last: joined first
};

// Who calls: by token on TCP, by socket in a container.
Result<gateway::Identity> identify(Context& cx, const net::GrpcCall& call);
// The same by the head of a request, for the server to know whose bytes follow.
Result<net::Admission> admit(Context& cx, const net::HttpRequest& head, const net::Peer& peer);
// The container that calls; permission_denied for anybody else.
Result<model::ContainerId> container_of(Context& cx, const net::GrpcCall& call);
// What addresses begin with that the caller is to use; of containers: signed ones only.
gateway::BaseUrl base_for(const Context& cx, const net::GrpcCall& call);
// How the caller reaches this server, and from where.
gateway::WebOrigin origin_of(const Context& cx, const net::GrpcCall& call);

// How a function is described to somebody: its addresses, and what is sent inside a message.
struct WebAddresses {
  std::uint64_t inline_bytes = most_inline_bytes;
  std::string scheme = "http";
  std::string authority;  // of the server, for the second address: below a path
  std::string port;       // ":8700", or empty
  std::string domain;     // empty: names do not lead to a function's own host
  // The address of a label's own host; it may have none.
  std::function<std::string(const std::string& label, const model::WorkspaceId& workspace)> host_of;
};
WebAddresses addresses_for(Context& cx, const net::GrpcCall& call);
// For who reaches the server as it knows itself, such as containers.
WebAddresses own_addresses(Context& cx);

// What the caller may see of the catalog; what it names is looked up here and nowhere else.
catalog::Scope scope_of(const Context& cx, const gateway::Identity& who);
// What a stored thing's own workspace has, for what it refers to.
catalog::Scope scope_of(const Context& cx, const model::FunctionSpec& spec);

// Objects by id, only inside the caller's scope; not_found names the thing.
Result<std::shared_ptr<const model::App>> find_app(Context& cx, const gateway::Identity& who,
                                                   const std::string& id);
Result<std::shared_ptr<const catalog::Function>> find_function(Context& cx,
                                                               const gateway::Identity& who,
                                                               const std::string& id);
async::Task<queue::CallInfo> find_call(Context& cx, gateway::Identity who, std::string id);
// What a container runs, of one inside the caller's scope that lives.
Result<std::shared_ptr<const model::FunctionSpec>> find_container(Context& cx,
                                                                  const gateway::Identity& who,
                                                                  const std::string& id);
// The published version; failed_precondition while there is none.
Result<std::shared_ptr<const model::FunctionSpec>> live_spec(const catalog::Function& function);
// "" is the default environment, or the container's own.
Result<std::shared_ptr<const model::Environment>> find_environment(Context& cx,
                                                                   const gateway::Identity& who,
                                                                   const std::string& name);

// What an environment adds to web addresses; the default one adds nothing by itself.
inline std::string web_suffix_of(const model::Environment& environment) {
  return environment.web_suffix.value_or(environment.name == "main" ? "" : environment.name);
}

inline double unix_seconds(WallTime time) { return time == WallTime{} ? 0.0 : to_seconds(time); }

// Long polls are answered a little before the client's own patience ends.
Instant poll_deadline(float timeout_s, Duration most);

}  // namespace thaw::dialect::modal
