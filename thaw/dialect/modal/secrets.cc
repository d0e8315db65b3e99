// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "thaw/catalog/secret_values.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/named_state.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

pb::SecretMetadata metadata_of(const catalog::Scope& scope, const model::Secret& secret) {
  pb::SecretMetadata out;
  if (const auto environment = scope.environment(secret.environment)) {
    out.set_environment_name(environment->name);
  }
  out.set_name(secret.name);
  out.mutable_creation_info()->set_created_at(unix_seconds(secret.created_at));
  for (const std::string& key : secret.keys) {
    out.add_keys(key);
  }
  return out;
}

Result<void> check_required(const model::Secret& secret,
                            const pb::SecretGetOrCreateRequest& request) {
  std::string missing;
  for (const std::string& key : request.required_keys()) {
    if (std::find(secret.keys.begin(), secret.keys.end(), key) == secret.keys.end()) {
      missing += missing.empty() ? key : ", " + key;
    }
  }
  if (!missing.empty()) {
    // Clients in other languages know this beginning.
    return Error::failed_precondition("Secret is missing key(s): " + missing + " (secret '" +
                                      secret.name + "')");
  }
  return ok();
}

Task<pb::SecretGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                  pb::SecretGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  const auto type = request.object_creation_type();
  const bool named = !request.deployment_name().empty();
  const auto known =
      named ? scope_of(cx, who).named_secret(environment->id, request.deployment_name()) : nullptr;
  if (named && known && type == pb::OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS) {
    co_return Error::already_exists("secret '" + request.deployment_name() + "' exists already");
  }
  pb::SecretGetOrCreateResponse reply;
  if (named && type == pb::OBJECT_CREATION_TYPE_UNSPECIFIED && !known) {
    co_return Error::not_found("Secret '" + request.deployment_name() +
                               "' not found in environment '" + environment->name +
                               "'; `modal secret create` makes it");
  }
  if (known && type != pb::OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS) {
    THAW_CO_TRY_VOID(check_required(*known, request));
    reply.set_secret_id(known->id.str());
    *reply.mutable_metadata() = metadata_of(scope_of(cx, who), *known);
    co_return reply;
  }
  if (named) {
    THAW_CO_TRY_VOID(check_object_name(request.deployment_name(), "a secret"));
  }
  if (!request.app_id().empty()) {
    THAW_CO_TRY([[maybe_unused]] const auto owner, find_app(cx, who, request.app_id()));
  }
  model::Secret secret;
  secret.id = known ? known->id : model::SecretId(codec::random_id("st"));
  secret.workspace = who.workspace;
  secret.environment = environment->id;
  secret.name = request.deployment_name();
  secret.owner = model::AppId(request.app_id());
  secret.created_at = wall_now();
  codec::Json values = codec::Json::object();
  for (const auto& [name, value] : request.env_dict()) {
    values[name] = value;
  }
  THAW_CO_TRY_VOID(catalog::seal_secret(cx.parts.secrets, values, secret));
  reply.set_secret_id(secret.id.str());
  *reply.mutable_metadata() = metadata_of(scope_of(cx, who), secret);
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.secrets.put(std::move(secret)));
  co_return reply;
}

Task<pb::SecretListResponse> list(Context& cx, net::GrpcCall& call, pb::SecretListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  std::vector<std::shared_ptr<const model::Secret>> secrets;
  const double before = request.pagination().created_before();
  for (const auto& secret : scope_of(cx, who).secrets_in(environment->id)) {
    const bool on_page = before <= 0 || unix_seconds(secret->created_at) < before;
    if (!secret->name.empty() && on_page) {
      secrets.push_back(secret);
    }
  }
  std::sort(secrets.begin(), secrets.end(),
            [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
  const int limit = request.pagination().max_objects();
  if (limit > 0 && secrets.size() > static_cast<std::size_t>(limit)) {
    secrets.resize(static_cast<std::size_t>(limit));
  }
  pb::SecretListResponse reply;
  reply.set_environment_name(environment->name);
  for (const auto& secret : secrets) {
    auto* item = reply.add_items();
    item->set_label(secret->name);
    item->set_secret_id(secret->id.str());
    item->set_created_at(unix_seconds(secret->created_at));
    item->set_environment_name(environment->name);
    *item->mutable_metadata() = metadata_of(scope_of(cx, who), *secret);
  }
  co_return reply;
}

Result<std::shared_ptr<const model::Secret>> find_secret(Context& cx, const gateway::Identity& who,
                                                         const std::string& id) {
  auto secret = scope_of(cx, who).secret(id);
  if (!secret) {
    return Error::not_found("secret '" + id + "' does not exist");
  }
  return secret;
}

Task<pb::SecretGetInfoResponse> get_info(Context& cx, net::GrpcCall& call,
                                         pb::SecretGetInfoRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto secret, find_secret(cx, who, request.secret_id()));
  pb::SecretGetInfoResponse reply;
  *reply.mutable_metadata() = metadata_of(scope_of(cx, who), *secret);
  co_return reply;
}

Task<Empty> erase(Context& cx, net::GrpcCall& call, pb::SecretDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto secret, find_secret(cx, who, request.secret_id()));
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.secrets.erase(secret->id.str()));
  co_return Empty();
}

Task<Empty> update(Context& cx, net::GrpcCall& call, pb::SecretUpdateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto known, find_secret(cx, who, request.secret_id()));
  THAW_CO_TRY(codec::Json values, catalog::open_secret(cx.parts.secrets, *known));
  for (const auto& change : request.updates()) {
    if (change.has_value()) {
      values[change.key()] = change.value();
    } else {
      values.erase(change.key());
    }
  }
  model::Secret secret = *known;
  THAW_CO_TRY_VOID(catalog::seal_secret(cx.parts.secrets, values, secret));
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.secrets.put(std::move(secret)));
  co_return Empty();
}

}  // namespace

void add_secret_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "SecretGetOrCreate", get_or_create);
  add(table, cx, "SecretGetInfo", get_info);
  add(table, cx, "SecretList", list);
  add(table, cx, "SecretDelete", erase);
  add(table, cx, "SecretUpdate", update);
}

}  // namespace thaw::dialect::modal
