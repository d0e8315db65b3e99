// SPDX-License-Identifier: Apache-2.0
//
// Access: who is asking, and whether they may. A token's secret is 256 random bits and only its
// SHA-256 is stored; a container is known by its socket or door and acts in its own environment, or
// as far as its function reaches; the admin socket (0600) acts for the default workspace. Each door
// asks here: one of HTTP by from_request(), with a row of its table of operations. Loop thread
// only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "thaw/catalog/scope.h"
#include "thaw/gateway/credentials.h"
#include "thaw/gateway/operation.h"
#include "thaw/net/grpc.h"
#include "thaw/net/http.h"
#include "thaw/store/secret_box.h"

namespace thaw::gateway {

struct Identity {
  enum class Kind { token, container, admin } kind = Kind::token;
  model::WorkspaceId workspace;
  model::TokenId token;              // token only
  model::ContainerId container;      // container only
  model::EnvironmentId environment;  // the only one that it acts in; empty: all of the workspace
  model::Reach reach = model::Reach::workspace;
  model::Grants grants;  // of its token; others have all
};

// Whose share of the server's memory and connections a request of `who` uses.
net::Admission admission_of(const Identity& who);
// What the asker may see: as narrow as the token's grants.
catalog::Scope scope_of(const catalog::Catalog& catalog, const Identity& who);

// permission_denied names the scope that the token lacks, or that it is for some functions only.
Result<void> check_may(const Identity& who, const Operation& operation);
// Before what is named is looked up, or made: permission_denied if the token does not name it,
// whether it is there or not.
Result<void> check_names(const Identity& who, std::string_view app, std::string_view function);

// The same without their narrowness: who makes what check_names() has let pass sees what it is made
// of, which is of no function.
Identity for_making(Identity who);

// Whether they may call this function by an address of its own. unauthenticated: it is another
// workspace's.
Result<void> check_may_call(const catalog::Catalog& catalog, const Identity& who,
                            const model::FunctionSpec& spec);

struct NewToken {
  model::TokenId id;
  std::string secret;
};

// How a token is to be.
struct TokenWish {
  model::WorkspaceId workspace;
  std::string name;
  model::Grants grants = {};
  Duration good_for = Duration::zero();  // zero: until it is revoked
};

class Access {
 public:
  // All outlive it. Without a box nothing is signed.
  explicit Access(catalog::Catalog& catalog, const store::SecretBox* box = nullptr)
      : catalog_(catalog), box_(box) {}

  // Set by main: what a container that lives runs.
  std::function<Result<std::shared_ptr<const model::FunctionSpec>>(const model::ContainerId&)>
      function_of_container;

  // In which headers a dialect's clients send tokens, besides those that all may (credentials.h).
  void add_credential_headers(CredentialHeaders headers) {
    credential_headers_.push_back(std::move(headers));
  }

  // Of HTTP, for every dialect: by the socket of a container or of the administrator, or else by
  // the credential in its headers; then whether they may. unauthenticated says how to show a token,
  // permission_denied what is missing.
  Result<Identity> from_request(const net::HttpRequest& request, const Operation& operation) const;
  // Without the question whether they may: check_may() is next.
  Result<Identity> from_request(const net::HttpRequest& request) const;
  Result<Identity> from_headers(const net::Headers& headers) const;
  // The headers by which a request shows a token: not for whom it goes on to.
  std::vector<std::string> credential_headers_of(const net::Headers& headers) const;

  // A request that is signed as AWS has it (codec/sigv4.h): a token's id is the access key id,
  // secret_access_key() the key. `body_sha256_hex`: of the body that came; empty: it was not read,
  // and who reads it compares it with what the request says of it. invalid_argument: the signature
  // is not whole; unauthenticated: it is none, or not by a token.
  Result<Identity> from_signature(  // tidy(unused): no dialect of signed requests yet
      const net::HttpRequest& request, std::string_view body_sha256_hex) const;
  // Made of the data folder's key, the token's id and its secret's digest: nothing of it is stored,
  // and a new secret is a new key. Empty without a box.
  std::string secret_access_key(const model::Token& token) const;

  // unauthenticated when the pair is unknown or its time is over; how long that takes tells nothing
  // about what is wrong.
  Result<Identity> from_token(const std::string& id, const std::string& secret) const;
  // Of who shows something that this server has signed for the holder of a token, some time ago.
  // unauthenticated: it was revoked, or its time is over.
  Result<Identity> holder_of(const model::TokenId& id) const;
  // For peers on Unix sockets and doors.
  Result<Identity> from_socket(const net::Peer& peer) const;

  // What people call them: the token's name, the container's id, "the administrator".
  std::string name_of(const Identity& who) const;

  // nullptr for who came without one.
  std::shared_ptr<const model::Token> token_of(const Identity& who) const {
    return catalog_.tokens.find(who.token.str());
  }

  // Whether it has not been revoked, and its time is not over.
  bool is_token(const model::TokenId& id) const;

  // not_found says how to make one.
  Result<std::shared_ptr<const model::Workspace>> workspace_named(const std::string& name) const;
  // With an environment "main". already_exists; invalid_argument says what a name is.
  async::Task<model::Workspace> create_workspace(std::string name);

  // invalid_argument: it cannot be so; resource_exhausted: its workspace has too many.
  async::Task<NewToken> create_token(TokenWish wish);
  // A new secret; the one before is good for `grace` longer. not_found.
  async::Task<NewToken> rotate_token(model::TokenId id, Duration grace);
  // What begins from now on is refused; what has been let in goes on to its end. not_found.
  async::Task<void> revoke_token(model::TokenId id);

  // When it was used last; nullopt: never.
  std::optional<WallTime> last_use_of(const model::Token& token) const;
  // Writes down at most `most` of the last uses that are not on disk or are old there.
  async::Task<void> write_uses(std::size_t most);
  // Forgets at most `most` tokens whose time was over before `then`.
  async::Task<void> forget_expired(WallTime then, std::size_t most);

 private:
  bool is_right(const model::Token& token, const std::string& secret, WallTime now) const;
  Result<Identity> identity_of(const model::Token& token, WallTime now) const;
  std::string secret_access_key(const model::TokenId& id, const std::string& digest) const;

  catalog::Catalog& catalog_;
  const store::SecretBox* box_;
  std::vector<CredentialHeaders> credential_headers_;
  // What was found right lately, so that a client's every request need not be hashed. It proves
  // nothing by itself: the token must still be there, with the digest that it had.
  struct Proven {
    std::string secret;
    std::string sha256_hex;
  };
  mutable std::unordered_map<std::string, Proven> proven_;
  mutable std::unordered_map<std::string, WallTime> uses_;  // by token, not on disk yet
};

}  // namespace thaw::gateway
