// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/access.h"

#include <algorithm>
#include <iterator>

#include "thaw/codec/encoding.h"
#include "thaw/codec/equal_bytes.h"
#include "thaw/codec/sigv4.h"
#include "thaw/store/blob_store.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t proven_limit = 1'000;
constexpr std::size_t most_uses = 10'000;

Error not_accepted() {
  return Error::unauthenticated(
      "the token was not accepted: this server does not know it, or it was revoked; "
      "on the server's machine `eval \"$(thaw env)\"` gives a shell one that works, and "
      "`thaw token create` makes one for another machine");
}

// All that have the shape of one: at most one for each header that is read.
std::vector<Credential> credentials_in(net::Headers headers,
                                       const std::vector<CredentialHeaders>& more) {
  std::vector<Credential> all;
  while (auto shown = credential_in(headers, more)) {
    std::erase_if(headers.fields, [&shown](const auto& field) {
      return std::find(shown->headers.begin(), shown->headers.end(), field.first) !=
             shown->headers.end();
    });
    all.push_back(std::move(*shown));
  }
  return all;
}

// Parts that a path is normalized by.
bool has_dots(std::string_view path) {
  const std::string closed = std::string(path) + "/";
  return closed.find("/./") != std::string::npos || closed.find("/../") != std::string::npos;
}

std::string scopes_needed(model::TokenScopes any_of) {
  const std::string words = model::scopes_text(any_of, " or ");
  return words.find(' ') == std::string::npos ? "the scope " + words : "one of the scopes " + words;
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

Result<void> check_may(const Identity& who, const Operation& operation) {
  const std::string what(operation.name);
  if (!who.grants.allow(operation.any_of)) {
    return Error::permission_denied(
        what + " needs " + scopes_needed(operation.any_of) + ", and this token has " +
        model::scopes_text(who.grants.scopes) + "; `thaw token create --scope` makes another");
  }
  if (who.grants.is_narrow() && operation.of == Operation::Of::workspace) {
    return Error::permission_denied(what +
                                    " is about all of the workspace, and this token is for " +
                                    who.grants.functions + " only");
  }
  return ok();
}

Result<void> check_names(const Identity& who, std::string_view app, std::string_view function) {
  if (who.grants.names(app, function)) {
    return ok();
  }
  return Error::permission_denied("this token is for " + who.grants.functions +
                                  " only, and not for " + std::string(function.substr(0, 80)));
}

Identity for_making(Identity who) {
  who.grants.functions.clear();
  return who;
}

Result<void> check_may_call(const catalog::Catalog& catalog, const Identity& who,
                            const model::FunctionSpec& spec) {
  constexpr Operation calling = {"a call of a function", model::TokenScope::invoke};
  THAW_TRY_VOID(check_may(who, calling));
  if (who.workspace != spec.workspace) {
    return Error::unauthenticated("the token is of another workspace than this function");
  }
  if (who.grants.is_narrow() && !scope_of(catalog, who).function(spec.id.str())) {
    return Error::permission_denied("this token is for " + who.grants.functions +
                                    " only, and not for this function");
  }
  return ok();
}

bool Access::is_right(const model::Token& token, const std::string& secret, WallTime now) const {
  const bool has_old = token.old && now < token.old->good_until;
  const auto is_good = [&](const std::string& digest) {
    const bool is_now = codec::equal_bytes(token.secret_sha256_hex, digest);
    return (has_old && codec::equal_bytes(token.old->sha256_hex, digest)) || is_now;
  };
  const auto known = proven_.find(token.id.str());
  if (known != proven_.end() && is_good(known->second.sha256_hex) &&
      codec::equal_bytes(known->second.secret, secret)) {
    return true;
  }
  std::string digest = store::sha256_hex(secret);
  if (!is_good(digest)) {
    return false;
  }
  if (proven_.size() >= proven_limit) {
    proven_.clear();
  }
  proven_.insert_or_assign(token.id.str(), Proven{secret, std::move(digest)});
  return true;
}

catalog::Scope scope_of(const catalog::Catalog& catalog, const Identity& who) {
  const catalog::Scope scope = who.environment.empty()
                                   ? catalog::Scope(catalog, who.workspace)
                                   : catalog::Scope(catalog, who.workspace, who.environment);
  return who.grants.is_narrow() ? scope.narrowed_to(who.grants) : scope;
}

Result<Identity> Access::from_token(const std::string& id, const std::string& secret) const {
  const auto token = catalog_.tokens.find(id);
  const WallTime now = wall_now();
  if (!token) {
    // As long as for one that is known.
    (void)store::sha256_hex(secret);
  }
  if (!token || !is_right(*token, secret, now)) {
    return not_accepted();
  }
  return identity_of(*token, now);
}

Result<Identity> Access::identity_of(const model::Token& token, WallTime now) const {
  if (token.expires_at && *token.expires_at <= now) {
    return Error::unauthenticated("the token's time is over; `thaw token create` makes another");
  }
  if (const auto use = uses_.find(token.id.str()); use != uses_.end()) {
    use->second = now;
  } else if (uses_.size() < most_uses) {
    uses_.emplace(token.id.str(), now);
  }
  Identity identity;
  identity.kind = Identity::Kind::token;
  identity.workspace = token.workspace;
  identity.token = token.id;
  identity.grants = token.grants;
  return identity;
}

Result<Identity> Access::holder_of(const model::TokenId& id) const {
  const auto token = catalog_.tokens.find(id.str());
  return token ? identity_of(*token, wall_now()) : Result<Identity>(not_accepted());
}

bool Access::is_token(const model::TokenId& id) const {
  const auto token = catalog_.tokens.find(id.str());
  return token && (!token->expires_at || wall_now() < *token->expires_at);
}

Result<Identity> Access::from_headers(const net::Headers& headers) const {
  std::optional<Error> refusal;
  // A key of somebody else's, which is for the server inside, may look like one of ours.
  for (const Credential& shown : credentials_in(headers, credential_headers_)) {
    auto who = from_token(shown.key.id, shown.key.secret);
    if (who) {
      return who;
    }
    refusal = refusal ? std::move(refusal) : who.error();
  }
  return refusal ? std::move(*refusal)
                 : Error::unauthenticated(
                       "this needs a token: send Authorization: Bearer KEY; `thaw token create` "
                       "makes one and prints its key, and docs/guides/tokens.md lists the other "
                       "headers that are read");
}

std::vector<std::string> Access::credential_headers_of(const net::Headers& headers) const {
  std::vector<std::string> names;
  for (Credential& shown : credentials_in(headers, credential_headers_)) {
    const auto token = catalog_.tokens.find(shown.key.id);
    if (token && is_right(*token, shown.key.secret, wall_now())) {
      std::move(shown.headers.begin(), shown.headers.end(), std::back_inserter(names));
    }
  }
  return names;
}

Result<Identity> Access::from_request(const net::HttpRequest& request) const {
  return request.peer.transport == net::Peer::Transport::tcp ? from_headers(request.headers)
                                                             : from_socket(request.peer);
}

Result<Identity> Access::from_request(const net::HttpRequest& request,
                                      const Operation& operation) const {
  THAW_TRY(Identity who, from_request(request));
  THAW_TRY_VOID(check_may(who, operation));
  return who;
}

std::string Access::secret_access_key(const model::TokenId& id, const std::string& digest) const {
  return box_ == nullptr ? std::string()
                         : box_->sign("secret access key", id.str() + " " + digest).substr(0, 40);
}

std::string Access::secret_access_key(const model::Token& token) const {
  return secret_access_key(token.id, token.secret_sha256_hex);
}

Result<Identity> Access::from_signature(const net::HttpRequest& request,
                                        std::string_view body_sha256_hex) const {
  const codec::SignedRequest read{request.method, request.path(), request.query(),
                                  request.authority, request.headers.fields};
  THAW_TRY(const std::optional<codec::SigV4> signature, codec::read_sigv4(read));
  if (!signature || box_ == nullptr) {
    return Error::unauthenticated(
        "the request is not signed; `thaw token create` prints a pair of keys to sign with");
  }
  // What is signed is the normalized path, and what is asked for is this one.
  const std::string path = codec::percent_decode(request.path());
  if (codec::path_rule_of(signature->service) == codec::SigV4Path::normalized &&
      (path.find("//") != std::string::npos || has_dots(path))) {
    return Error::invalid_argument(
        "the path of a signed request has no empty parts, and none that is '.' or '..'");
  }
  const WallTime now = wall_now();
  THAW_TRY_VOID(codec::check_time_of(*signature, now));
  const bool says_digest = signature->payload.size() == 64;
  if (says_digest && !body_sha256_hex.empty() && signature->payload != body_sha256_hex) {
    return Error::unauthenticated("the body of the request is another one than was signed");
  }
  const std::string_view payload =
      signature->payload.empty() ? body_sha256_hex : std::string_view(signature->payload);
  const auto token = catalog_.tokens.find(signature->access_key_id);
  const model::TokenId id = token ? token->id : model::TokenId(signature->access_key_id);
  const auto is_signed_with = [&](const std::string& digest) {
    return codec::is_signed_by(read, *signature, payload, secret_access_key(id, digest));
  };
  const bool is_right = is_signed_with(token ? token->secret_sha256_hex : std::string());
  const bool is_old =
      token && token->old && now < token->old->good_until && is_signed_with(token->old->sha256_hex);
  if (!token || (!is_right && !is_old)) {
    return Error::unauthenticated(
        "the signature was not accepted: the access key id is no token of this server, or the "
        "secret access key is another one");
  }
  return identity_of(*token, now);
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

}  // namespace thaw::gateway
