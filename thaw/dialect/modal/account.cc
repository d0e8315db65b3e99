// SPDX-License-Identifier: Apache-2.0
// Tokens, the workspace's name, environments.
#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
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
  co_return pb::ClientHelloResponse();
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
    reply.mutable_created_at()->set_seconds(
        std::chrono::duration_cast<std::chrono::seconds>(token->created_at.time_since_epoch())
            .count());
  }
  co_return reply;
}

// Who acts in one environment does not make others.
Result<void> may_make_environments(const gateway::Identity& who) {
  if (who.environment.empty()) {
    return ok();
  }
  return Error::permission_denied(
      "a container acts in its own environment only and cannot make another; SECURITY.md says how "
      "a function asks for more");
}

Task<pb::EnvironmentGetOrCreateResponse> environment_get(
    Context& cx, net::GrpcCall& call, pb::EnvironmentGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  auto found = find_environment(cx, who, request.deployment_name());
  if (!found && request.object_creation_type() == pb::OBJECT_CREATION_TYPE_CREATE_IF_MISSING) {
    THAW_CO_TRY_VOID(may_make_environments(who));
    model::Environment made;
    made.id = model::EnvironmentId(codec::random_id("en"));
    made.workspace = who.workspace;
    made.name = request.deployment_name();
    made.created_at = wall_now();
    THAW_CO_TRY_VOID(co_await cx.parts.catalog.environments.put(std::move(made)));
    found = find_environment(cx, who, request.deployment_name());
  }
  if (!found) {
    co_return found.error();
  }
  pb::EnvironmentGetOrCreateResponse reply;
  reply.set_environment_id((*found)->id.str());
  reply.mutable_metadata()->set_name((*found)->name);
  reply.mutable_metadata()->mutable_settings()->set_image_builder_version(
      builder_version_for(call));
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
  }
  co_return reply;
}

Task<Empty> environment_create(Context& cx, net::GrpcCall& call,
                               pb::EnvironmentCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (request.name().empty()) {
    co_return Error::invalid_argument("an environment needs a name");
  }
  THAW_CO_TRY_VOID(may_make_environments(who));
  if (scope_of(cx, who).environment_named(request.name())) {
    co_return Error::already_exists("environment '" + request.name() + "' exists already");
  }
  model::Environment made;
  made.id = model::EnvironmentId(codec::random_id("en"));
  made.workspace = who.workspace;
  made.name = request.name();
  made.created_at = wall_now();
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.environments.put(std::move(made)));
  co_return Empty();
}

}  // namespace

void add_account_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "ClientHello", client_hello);
  add(table, cx, "WorkspaceNameLookup", workspace_name);
  add(table, cx, "AuthTokenGet", auth_token);
  add(table, cx, "TokenInfoGet", token_info);
  add_once(table, cx, "EnvironmentGetOrCreate", environment_get);
  add(table, cx, "EnvironmentList", environment_list);
  add_once(table, cx, "EnvironmentCreate", environment_create);
}

}  // namespace thaw::dialect::modal
