// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/access.h"

#include <openssl/crypto.h>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
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
  if (peer.transport == net::Peer::Transport::unix_socket && !peer.identity.empty()) {
    identity.kind = Identity::Kind::container;
    identity.container = model::ContainerId(peer.identity);
    THAW_TRY(identity.workspace, workspace_of_container(identity.container));
    return identity;
  }
  return Error::unauthenticated("a token is missing; `thaw env` prints one for your shell");
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
