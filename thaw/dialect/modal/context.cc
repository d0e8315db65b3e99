// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/context.h"

#include <algorithm>
#include <array>

#include "thaw/dialect/modal/build_functions.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/older_apps.h"
#include "thaw/dialect/modal/older_methods.h"
#include "thaw/dialect/modal/operations.h"
#include "thaw/dialect/modal/router_access.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

Context::Context(const gateway::Owners& owners, Options given)
    : parts(owners),
      options(std::move(given)),
      fleet(&parts.fleet),
      // A download's URLs are given out all at once, and the last of a large file is used late.
      volume_urls(parts.secrets, "volume-url", std::chrono::hours(24)),
      client_packages(std::make_unique<ClientPackages>(options.cache_folder + "/clients")),
      classes_in_creation(std::make_unique<ClassesInCreation>()),
      build_functions(std::make_unique<BuildFunctions>()),
      objects_to_deploy(std::make_unique<ObjectsToDeploy>()),
      tasks(parts.loop) {}

Context::~Context() = default;

namespace {

// All that a container may do whose function has no access to this server but for its own inputs.
constexpr std::array<std::string_view, 16> for_own_inputs = {
    "AppGetObjects",
    "BlobCreate",
    "BlobGet",
    "ClientHello",
    "ContainerCheckpoint",
    "ContainerHeartbeat",
    "ContainerHello",
    "FunctionCallGetDataIn",
    "FunctionCallPutDataOut",
    "FunctionGetDynamicConcurrency",
    "FunctionGetInputs",
    "FunctionGetSerialized",
    "FunctionPutOutputs",
    "TaskResult",
    "VolumeCommit",
    "VolumeReload",
};

// What somebody asks who has no token yet, and is no container.
bool is_for_strangers(std::string_view path) {
  const std::string_view name = rpc_of(path);
  return name == "TokenFlowCreate" || name == "TokenFlowWait";
}

// What is in no table is not served, and is told so.
Result<void> check_scopes(const gateway::Identity& who, std::string_view path) {
  const gateway::Operation* operation = find_operation(rpc_of(path));
  return operation == nullptr ? ok() : gateway::check_may(who, *operation);
}

Result<void> check_reach(const gateway::Identity& who, const net::GrpcCall& call) {
  const std::string_view name = rpc_of(call.path());
  if (who.reach != model::Reach::inputs ||
      std::find(for_own_inputs.begin(), for_own_inputs.end(), name) != for_own_inputs.end()) {
    return ok();
  }
  return Error::permission_denied(std::string(name) +
                                  " is refused: this function was made with "
                                  "restrict_modal_access=True");
}

Result<gateway::Identity> identify(Context& cx, const net::Headers& head, const net::Peer& peer) {
  if (peer.transport == net::Peer::Transport::unix_socket) {
    return cx.parts.access.from_socket(peer);
  }
  const auto id = head.find("x-modal-token-id");
  const auto secret = head.find("x-modal-token-secret");
  if (!id || !secret) {
    if (auto who = cx.parts.access.from_headers(head)) {
      return who;  // by another header that holds a whole key
    }
    return Error::unauthenticated(
        "Token missing. Set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET; `thaw env` prints them");
  }
  auto who = cx.parts.access.from_token(std::string(*id), std::string(*secret));
  if (!who) {
    return Error::unauthenticated("Token ID or token secret is not valid: " +
                                  who.error().message());
  }
  return who;
}

}  // namespace

Result<gateway::Identity> identify(Context& cx, const net::GrpcCall& call) {
  THAW_TRY(gateway::Identity who, identify(cx, call.metadata(), call.peer()));
  THAW_TRY_VOID(check_reach(who, call));
  THAW_TRY_VOID(check_scopes(who, call.path()));
  return who;
}

Result<net::Admission> admit(Context& cx, const net::HttpRequest& head, const net::Peer& peer) {
  if (is_for_strangers(head.path())) {
    return net::Admission();  // its bytes stay its peer's
  }
  if (head.target.starts_with(router_path(""))) {
    THAW_TRY(const RouterClaim claim, claim_of(cx, head.headers));
    gateway::Identity who;
    who.workspace = claim.workspace;
    return gateway::admission_of(who);
  }
  THAW_TRY(const gateway::Identity who, identify(cx, head.headers, peer));
  THAW_TRY_VOID(check_scopes(who, head.path()));
  return gateway::admission_of(who);
}

Result<model::ContainerId> container_of(Context& cx, const net::GrpcCall& call) {
  THAW_TRY(const gateway::Identity who, identify(cx, call));
  if (who.kind != gateway::Identity::Kind::container) {
    return Error::permission_denied(call.path() + " is for containers, on their own socket");
  }
  return who.container;
}

gateway::WebOrigin origin_of(const Context& cx, const net::GrpcCall& call) {
  const std::string& asked = call.authority();
  gateway::WebOrigin plain{call.peer().scheme(), asked.empty() ? cx.place.authority : asked,
                           call.peer().address};
  return cx.place.proxies.origin_of(call.peer(), std::move(plain), call.metadata());
}

gateway::BaseUrl base_for(const Context& cx, const net::GrpcCall& call) {
  if (call.peer().transport == net::Peer::Transport::unix_socket) {
    return cx.place.containers_base();
  }
  const gateway::WebOrigin origin = origin_of(cx, call);
  return {origin.scheme, origin.authority};
}

namespace {

WebAddresses addresses_at(Context& cx, std::string scheme, std::string authority) {
  WebAddresses addresses;
  addresses.inline_bytes = cx.inline_bytes;
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string::npos && !authority.ends_with(']')) {
    addresses.port = authority.substr(colon);
  }
  addresses.scheme = std::move(scheme);
  addresses.authority = std::move(authority);
  if (!cx.place.web_domain.empty()) {
    addresses.domain = cx.place.web_domain;
  } else if (addresses.scheme == "https") {
    return addresses;  // no client takes a certificate for *.localhost, or for each address
  } else if (cx.place.knows_localhost) {
    addresses.domain = "localhost";
  }
  addresses.host_of = [&cx](const std::string& label, const model::WorkspaceId& workspace) {
    return cx.parts.web.loopback_host(label, workspace);
  };
  return addresses;
}

}  // namespace

WebAddresses own_addresses(Context& cx) {
  return addresses_at(cx, cx.place.scheme, cx.place.authority);
}

WebAddresses addresses_for(Context& cx, const net::GrpcCall& call) {
  if (call.peer().transport == net::Peer::Transport::unix_socket) {
    return own_addresses(cx);
  }
  gateway::WebOrigin origin = origin_of(cx, call);
  return addresses_at(cx, std::move(origin.scheme), std::move(origin.authority));
}

catalog::Scope scope_of(const Context& cx, const gateway::Identity& who) {
  return gateway::scope_of(cx.parts.catalog, who);
}

catalog::Scope scope_of(const Context& cx, const model::FunctionSpec& spec) {
  return {cx.parts.catalog, spec.workspace};
}

Result<std::shared_ptr<const model::App>> find_app(Context& cx, const gateway::Identity& who,
                                                   const std::string& id) {
  if (auto app = scope_of(cx, who).app(id)) {
    return app;
  }
  return Error::not_found("app '" + id + "' does not exist");
}

Result<std::shared_ptr<const catalog::Function>> find_function(Context& cx,
                                                               const gateway::Identity& who,
                                                               const std::string& id) {
  if (auto function = scope_of(cx, who).function(id)) {
    return function;
  }
  return Error::not_found("function '" + id + "' does not exist, or its app was stopped");
}

async::Task<queue::CallInfo> find_call(Context& cx, gateway::Identity who, std::string id) {
  THAW_CO_TRY(std::optional<queue::CallInfo> info,
              co_await cx.parts.invoke.find_call(std::move(who), model::CallId(id)));
  if (!info) {
    co_return Error::not_found("function call '" + id + "' does not exist");
  }
  co_return std::move(*info);
}

Result<std::shared_ptr<const model::FunctionSpec>> find_container(Context& cx,
                                                                  const gateway::Identity& who,
                                                                  const std::string& id) {
  auto spec = cx.fleet->spec_of(model::ContainerId(id));
  if (!spec || !scope_of(cx, who).covers((*spec)->workspace, (*spec)->environment)) {
    return Error::not_found("container '" + id + "' does not exist");
  }
  return spec;
}

Result<std::shared_ptr<const model::FunctionSpec>> live_spec(const catalog::Function& function) {
  auto spec = function.live();
  if (!spec) {
    return Error::failed_precondition("function '" + function.tag + "' is not published yet");
  }
  return spec;
}

Result<std::shared_ptr<const model::Environment>> find_environment(Context& cx,
                                                                   const gateway::Identity& who,
                                                                   const std::string& name) {
  if (name.empty() && who.kind == gateway::Identity::Kind::container) {
    THAW_TRY(const auto spec, cx.fleet->spec_of(who.container));
    const auto own = scope_of(cx, who).environment(spec->environment);
    if (own && own->life == model::Environment::Life::there) {
      return own;
    }
    return Error::not_found("the environment of this container was deleted");
  }
  return scope_of(cx, who).environment_named(name);
}

Instant poll_deadline(float timeout_s, Duration most) {
  // Written so that what is no number is no time at all.
  const auto wanted = static_cast<double>(timeout_s);
  const Duration asked = from_seconds(wanted > 0 ? std::min(wanted, 3600.0) : 0.0);
  return monotonic_now() + std::min(asked, most);
}

}  // namespace thaw::dialect::modal
