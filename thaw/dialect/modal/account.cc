// SPDX-License-Identifier: Apache-2.0
// Tokens, the workspace's name, environments.
#include <algorithm>
#include <array>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/older_clients.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

// The newest image recipes that the asking client knows: it refuses a version it does not.
std::string builder_version_for(const net::GrpcCall& call) {
  const auto asked =
      parse_client_version(call.metadata().find("x-modal-client-version").value_or(""));
  // Since which version, by the lists that the wheels hold.
  if (asked >= ClientVersion{1, 6, 3}) {
    return "2026.10";
  }
  if (!asked || asked >= ClientVersion{1, 1, 0}) {
    return "2025.06";
  }
  return asked >= ClientVersion{0, 66, 0} ? "2024.10" : "2024.04";
}

Task<pb::ClientHelloResponse> client_hello(Context& cx, net::GrpcCall& call, Empty) {
  THAW_CO_TRY([[maybe_unused]] const gateway::Identity who, identify(cx, call));
  pb::ClientHelloResponse reply;
  reply.set_image_builder_version(builder_version_for(call));  // clients before 0.64 read it here
  co_return reply;
}

Task<pb::WorkspaceNameLookupResponse> workspace_name(Context& cx, net::GrpcCall& call, Empty) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  pb::WorkspaceNameLookupResponse reply;
  const auto workspace = scope_of(cx, who).workspace();
  reply.set_username(workspace ? workspace->name : "thaw");
  co_return reply;
}

// A JWT whose payload the client reads for its expiry; the signature is ours to check.
Task<pb::AuthTokenGetResponse> auth_token(Context& cx, net::GrpcCall& call,
                                          pb::AuthTokenGetRequest) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch());
  const codec::Json payload = {
      {"sub", who.workspace.str()}, {"iat", now.count()}, {"exp", (now + 20min).count()}};
  const std::string signed_part = codec::base64url_encode(R"({"alg":"HS256","typ":"JWT"})") + "." +
                                  codec::base64url_encode(payload.dump());
  THAW_CO_TRY(const std::string mac,
              codec::hex_decode(cx.parts.secrets.sign("auth-token", signed_part)));
  pb::AuthTokenGetResponse reply;
  reply.set_token(signed_part + "." + codec::base64url_encode(mac));
  co_return reply;
}

Result<void> check_stranger(const net::GrpcCall& call) {
  if (call.peer().transport == net::Peer::Transport::tcp) {
    return ok();
  }
  return Error::permission_denied("a container has an identity of its own and asks for no token");
}

std::string address_of(Context& cx, const net::GrpcCall& call) {
  const std::string client = origin_of(cx, call).client;
  return client.substr(0, client.rfind(':'));
}

// Of a login by a page, where who runs the server approves it.
Task<pb::TokenFlowCreateResponse> flow_create(Context& cx, net::GrpcCall& call,
                                              pb::TokenFlowCreateRequest request) {
  THAW_CO_TRY_VOID(check_stranger(call));
  constexpr std::int64_t longest = 10 * 365 * 24 * 3600LL;
  if (request.expires_in_seconds() < 0 || request.expires_in_seconds() > longest) {
    co_return Error::invalid_argument("a token is good for ten years at most");
  }
  const gateway::Logins::Begun begun =
      cx.parts.logins.begin(address_of(cx, call), 1s * request.expires_in_seconds());
  const WebAddresses here = addresses_for(cx, call);
  pb::TokenFlowCreateResponse reply;
  reply.set_token_flow_id(begun.id);
  reply.set_wait_secret(begun.secret);
  reply.set_code(begun.code);
  reply.set_web_url(here.scheme + "://" + here.authority + "/login/" + begun.id);
  co_return reply;
}

Task<pb::TokenFlowWaitResponse> flow_wait(Context& cx, net::GrpcCall& call,
                                          pb::TokenFlowWaitRequest request) {
  THAW_CO_TRY_VOID(check_stranger(call));
  THAW_CO_TRY(const std::optional<gateway::Logins::Given> given,
              co_await cx.parts.logins.wait(request.token_flow_id(), request.wait_secret(),
                                            poll_deadline(request.timeout(), 55s)));
  pb::TokenFlowWaitResponse reply;
  reply.set_timeout(!given);
  if (given) {
    reply.set_token_id(given->token.id.str());
    reply.set_token_secret(given->token.secret);
    const auto workspace = catalog::Scope(cx.parts.catalog, given->workspace).workspace();
    reply.set_workspace_username(workspace ? workspace->name : "thaw");
  }
  co_return reply;
}

// Who has a new token ends the old one by itself. Those of others are the operator's to end: a
// token that was stolen locks nobody out.
Task<Empty> token_delete(Context& cx, net::GrpcCall& call, pb::TokenDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (who.token.empty() || request.token_id() != who.token.str()) {
    co_return Error::not_found("token '" + request.token_id().substr(0, 80) +
                               "' is not the one that asks; `thaw token revoke` ends others");
  }
  THAW_CO_TRY_VOID(co_await cx.parts.access.revoke_token(who.token));
  co_return Empty();
}

Task<pb::TokenInfoGetResponse> token_info(Context& cx, net::GrpcCall& call,
                                          pb::TokenInfoGetRequest) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const auto token = cx.parts.access.token_of(who);
  const auto workspace = scope_of(cx, who).workspace();
  pb::TokenInfoGetResponse reply;
  reply.set_token_id(who.token.str());
  reply.set_workspace_id(who.workspace.str());
  reply.set_workspace_name(workspace ? workspace->name : "thaw");
  reply.mutable_user_identity()->set_username(reply.workspace_name());
  if (token) {
    reply.set_token_name(token->name);
    const auto seconds = [](WallTime time) {
      return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
    };
    reply.mutable_created_at()->set_seconds(seconds(token->created_at));
    if (token->expires_at) {
      reply.mutable_expires_at()->set_seconds(seconds(*token->expires_at));
    }
  }
  co_return reply;
}

// Who acts in one environment does not make others, nor end it.
Result<void> may_change_environments(const gateway::Identity& who) {
  if (who.environment.empty()) {
    return ok();
  }
  return Error::permission_denied(
      "a container acts in its own environment only and can neither make another nor change one; "
      "SECURITY.md says how a function asks for more");
}

Task<pb::EnvironmentGetOrCreateResponse> environment_get(
    Context& cx, net::GrpcCall& call, pb::EnvironmentGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  auto found = find_environment(cx, who, request.deployment_name());
  if (!found && request.object_creation_type() == pb::OBJECT_CREATION_TYPE_CREATE_IF_MISSING) {
    THAW_CO_TRY_VOID(may_change_environments(who));
    THAW_CO_TRY_VOID(gateway::check_may(who, *find_operation("EnvironmentCreate")));
    THAW_CO_TRY_VOID(
        co_await cx.parts.environments.create(who.workspace, request.deployment_name()));
    found = find_environment(cx, who, request.deployment_name());
  }
  if (!found) {
    co_return found.error();
  }
  pb::EnvironmentGetOrCreateResponse reply;
  reply.set_environment_id((*found)->id.str());
  reply.mutable_metadata()->set_name((*found)->name);
  auto* settings = reply.mutable_metadata()->mutable_settings();
  settings->set_image_builder_version(
      (*found)->builder_version.empty() ? builder_version_for(call) : (*found)->builder_version);
  settings->set_webhook_suffix(web_suffix_of(**found));
  co_return reply;
}

Task<pb::EnvironmentListResponse> environment_list(Context& cx, net::GrpcCall& call, Empty) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  pb::EnvironmentListResponse reply;
  for (const auto& environment : scope_of(cx, who).environments()) {
    auto* item = reply.add_items();
    item->set_name(environment->name);
    item->set_environment_id(environment->id.str());
    item->set_default_(environment->name == "main");
    item->set_created_at(unix_seconds(environment->created_at));
    item->set_webhook_suffix(web_suffix_of(*environment));
    if (!environment->builder_version.empty()) {
      item->set_image_builder_version(environment->builder_version);
    }
  }
  co_return reply;
}

Task<Empty> environment_create(Context& cx, net::GrpcCall& call,
                               pb::EnvironmentCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY_VOID(may_change_environments(who));
  if (request.is_managed() || !request.default_member_role_str().empty() ||
      request.environment_type() == pb::ENVIRONMENT_TYPE_PUBLIC) {
    co_return Error::unimplemented(
        "a restricted or public environment is for users with roles, and Thaw has tokens only; "
        "`thaw workspace create` keeps people from each other's things");
  }
  THAW_CO_TRY_VOID(co_await cx.parts.environments.create(who.workspace, request.name()));
  co_return Empty();
}

Result<void> check_builder_version(const std::string& version) {
  constexpr std::array<std::string_view, 6> known = {"2023.12", "2024.04", "2024.10",
                                                     "2025.06", "2026.10", "PREVIEW"};
  if (version.empty() || std::find(known.begin(), known.end(), version) != known.end()) {
    return ok();
  }
  return Error::invalid_argument("there is no image builder version '" + version.substr(0, 20) +
                                 "'; there are 2023.12, 2024.04, 2024.10, 2025.06 and 2026.10");
}

Task<pb::EnvironmentListItem> environment_update(Context& cx, net::GrpcCall& call,
                                                 pb::EnvironmentUpdateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY_VOID(may_change_environments(who));
  if (request.has_max_concurrent_tasks() || request.has_max_concurrent_gpus() ||
      request.has_block_unauthenticated_resources()) {
    co_return Error::unimplemented(
        "limits of an environment are not served by this version of Thaw; those of the server are "
        "in its configuration");
  }
  gateway::Environments::Changes changes;
  if (request.has_name()) {
    changes.name = request.name().value();
  }
  if (request.has_web_suffix()) {
    changes.web_suffix = request.web_suffix().value();
  }
  if (request.has_image_builder_version()) {
    THAW_CO_TRY_VOID(check_builder_version(request.image_builder_version()));
    changes.builder_version = request.image_builder_version();
  }
  THAW_CO_TRY(const model::Environment after,
              co_await cx.parts.environments.update(scope_of(cx, who), request.current_name(),
                                                    std::move(changes)));
  pb::EnvironmentListItem reply;
  reply.set_name(after.name);
  reply.set_environment_id(after.id.str());
  reply.set_webhook_suffix(web_suffix_of(after));
  reply.set_created_at(unix_seconds(after.created_at));
  co_return reply;
}

Task<Empty> environment_delete(Context& cx, net::GrpcCall& call,
                               pb::EnvironmentDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY_VOID(may_change_environments(who));
  if (request.name().empty()) {
    co_return Error::invalid_argument("the environment that is to be deleted needs a name");
  }
  THAW_CO_TRY_VOID(co_await cx.parts.environments.remove(scope_of(cx, who), request.name(),
                                                         cx.parts.access.name_of(who)));
  co_return Empty();
}

}  // namespace

void add_account_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "ClientHello", client_hello);
  add(table, cx, "WorkspaceNameLookup", workspace_name);
  add(table, cx, "AuthTokenGet", auth_token);
  add(table, cx, "TokenInfoGet", token_info);
  add(table, cx, "TokenDelete", token_delete);
  add(table, cx, "TokenFlowCreate", flow_create);
  add(table, cx, "TokenFlowWait", flow_wait);
  add_once(table, cx, "EnvironmentGetOrCreate", environment_get);
  add(table, cx, "EnvironmentList", environment_list);
  add_once(table, cx, "EnvironmentCreate", environment_create);
  add_once(table, cx, "EnvironmentUpdate", environment_update);
  add_once(table, cx, "EnvironmentDelete", environment_delete);
}

}  // namespace thaw::dialect::modal
