// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/access.h"

#include <openssl/crypto.h>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/secret_box.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t proven_limit = 1'000;

// The time tells nothing about the first wrong letter.
bool equal_bytes(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

net::Admission admission_of(const Identity& who) {
  const std::string workspace = "workspace " + who.workspace.str();
  if (who.kind == Identity::Kind::container) {
    return {"container " + who.container.str(), workspace};
  }
  return {workspace, ""};
}

std::string Access::name_of(const Identity& who) const {
  switch (who.kind) {
    case Identity::Kind::container: return who.container.str();
    case Identity::Kind::admin: return "the administrator";
    case Identity::Kind::token: break;
  }
  const auto token = token_of(who);
  return token && !token->name.empty() ? token->name : who.token.str();
}

bool Access::is_right(const model::Token& token, const std::string& secret) const {
  const auto known = proven_.find(token.id.str());
  if (known != proven_.end() && known->second.sha256_hex == token.secret_sha256_hex &&
      equal_bytes(known->second.secret, secret)) {
    return true;
  }
  std::string digest = store::sha256_hex(secret);
  if (!equal_bytes(token.secret_sha256_hex, digest)) {
    return false;
  }
  if (proven_.size() >= proven_limit) {
    proven_.clear();
  }
  proven_.insert_or_assign(token.id.str(), Proven{secret, std::move(digest)});
  return true;
}

catalog::Scope scope_of(const catalog::Catalog& catalog, const Identity& who) {
  return who.environment.empty() ? catalog::Scope(catalog, who.workspace)
                                 : catalog::Scope(catalog, who.workspace, who.environment);
}

Result<Identity> Access::from_token(const std::string& id, const std::string& secret) const {
  const auto token = catalog_.tokens.find(id);
  if (!token) {
    // As long as for one that is known.
    (void)store::sha256_hex(secret);
  }
  if (!token || !is_right(*token, secret)) {
    return Error::unauthenticated(
        "the token was not accepted: this server does not know it, or it was revoked; "
        "on the server's machine `eval \"$(thaw env)\"` gives a shell one that works, and "
        "`thaw token create` makes one for another machine");
  }
  Identity identity;
  identity.kind = Identity::Kind::token;
  identity.workspace = token->workspace;
  identity.token = token->id;
  return identity;
}

Result<Identity> Access::from_socket(const net::Peer& peer) const {
  Identity identity;
  if (peer.transport == net::Peer::Transport::unix_socket && peer.identity == "admin") {
    identity.kind = Identity::Kind::admin;
    identity.workspace = catalog_.default_workspace();
    return identity;
  }
  if (peer.transport != net::Peer::Transport::tcp && !peer.identity.empty()) {
    identity.kind = Identity::Kind::container;
    identity.container = model::ContainerId(peer.identity);
    THAW_TRY(const auto function, function_of_container(identity.container));
    identity.workspace = function->workspace;
    identity.reach = function->reach;
    if (identity.reach != model::Reach::workspace) {
      identity.environment = function->environment;
    }
    return identity;
  }
  return Error::unauthenticated("a token is missing; `thaw env` prints one for your shell");
}

Result<std::shared_ptr<const model::Workspace>> Access::workspace_named(
    const std::string& name) const {
  for (const auto& [id, workspace] : catalog_.workspaces.all()) {
    if (workspace->name == name) {
      return workspace;
    }
  }
  return Error::not_found("workspace '" + name.substr(0, 80) +
                          "' does not exist; `thaw workspace create` makes it");
}

async::Task<model::Workspace> Access::create_workspace(std::string name) {
  // It is a part of its functions' host names, beside the environment and the label.
  constexpr std::size_t longest = 20;
  THAW_CO_TRY_VOID(check_label(name));
  if (name.size() > longest) {
    co_return Error::invalid_argument("the name of a workspace has at most " +
                                      std::to_string(longest) + " letters: '" + name + "' has " +
                                      std::to_string(name.size()));
  }
  if (workspace_named(name)) {
    co_return Error::already_exists("workspace '" + name + "' exists already");
  }
  model::Workspace workspace;
  workspace.id = model::WorkspaceId(codec::random_id("ac"));
  workspace.name = std::move(name);
  model::Environment environment;
  environment.id = model::EnvironmentId(codec::random_id("en"));
  environment.workspace = workspace.id;
  environment.name = "main";
  environment.created_at = wall_now();
  // The environment first: a workspace that is to be seen has one, also after a crash.
  THAW_CO_TRY_VOID(co_await catalog_.environments.put(std::move(environment)));
  THAW_CO_TRY_VOID(co_await catalog_.workspaces.put(workspace));
  co_return workspace;
}

async::Task<NewToken> Access::create_token(model::WorkspaceId workspace, std::string name) {
  NewToken made;
  made.id = model::TokenId(codec::random_id("ak"));
  made.secret = "as-" + codec::base64url_encode(store::random_bytes(32));
  model::Token token;
  token.id = made.id;
  token.workspace = std::move(workspace);
  token.name = std::move(name);
  token.secret_sha256_hex = store::sha256_hex(made.secret);
  token.created_at = wall_now();
  THAW_CO_TRY_VOID(co_await catalog_.tokens.put(std::move(token)));
  co_return made;
}

async::Task<void> Access::revoke_token(model::TokenId id) {
  if (!catalog_.tokens.find(id.str())) {
    co_return Error::not_found("token " + id.str() +
                               " does not exist; `thaw token list` shows all");
  }
  proven_.erase(id.str());
  co_return co_await catalog_.tokens.erase(id.str());
}

}  // namespace thaw::gateway
