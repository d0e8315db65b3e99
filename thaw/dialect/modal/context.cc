// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/context.h"

#include <algorithm>

#include "thaw/dialect/modal/image_builds.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

Context::Context(Parts p)
    : parts(std::move(p)), image_builds(std::make_unique<ImageBuilds>(parts)), tasks(parts.loop) {}

Context::~Context() = default;

namespace {

Result<gateway::Identity> identify(Context& cx, const net::Headers& head, const net::Peer& peer) {
  if (peer.transport == net::Peer::Transport::unix_socket) {
    return cx.parts.access.from_socket(peer);
  }
  const auto id = head.find("x-modal-token-id");
  const auto secret = head.find("x-modal-token-secret");
  if (!id || !secret) {
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
  return identify(cx, call.metadata(), call.peer());
}

Result<net::Admission> admit(Context& cx, const net::HttpRequest& head, const net::Peer& peer) {
  THAW_TRY(const gateway::Identity who, identify(cx, head.headers, peer));
  return gateway::admission_of(who);
}

Result<model::ContainerId> container_of(Context& cx, const net::GrpcCall& call) {
  THAW_TRY(const gateway::Identity who, identify(cx, call));
  if (who.kind != gateway::Identity::Kind::container) {
    return Error::permission_denied(call.path() + " is for containers, on their own socket");
  }
  return who.container;
}

std::string authority_for(const Context& cx, const net::GrpcCall& call) {
  if (call.peer().transport == net::Peer::Transport::unix_socket) {
    return cx.settings.container_authority;
  }
  return call.authority().empty() ? cx.settings.authority : call.authority();
}

Result<std::shared_ptr<const model::App>> find_app(Context& cx, const gateway::Identity& who,
                                                   const std::string& id) {
  auto app = cx.parts.catalog.apps.find(id);
  if (!app || app->workspace != who.workspace) {
    return Error::not_found("app '" + id + "' does not exist");
  }
  return app;
}

Result<std::shared_ptr<const catalog::Function>> find_function(Context& cx,
                                                               const gateway::Identity& who,
                                                               const std::string& id) {
  auto function = cx.parts.catalog.functions.find(id);
  if (!function) {
    return Error::not_found("function '" + id + "' does not exist, or its app was stopped");
  }
  THAW_TRY([[maybe_unused]] const auto app, find_app(cx, who, function->app.str()));
  return function;
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
    if (auto own = cx.parts.catalog.environments.find(spec->environment.str())) {
      return own;
    }
  }
  return cx.parts.catalog.environment(who.workspace, name);
}

Instant poll_deadline(float timeout_s, Duration most) {
  const Duration asked = from_seconds(std::clamp(static_cast<double>(timeout_s), 0.0, 3600.0));
  return monotonic_now() + std::min(asked, most);
}

}  // namespace thaw::dialect::modal
