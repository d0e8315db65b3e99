// SPDX-License-Identifier: Apache-2.0
//
// Access: who is asking. A token's secret is 256 random bits and only its SHA-256 is stored; a
// container is known by its socket or door and acts in its own environment, or as far as its
// function reaches; the admin socket (0600) acts for the default workspace. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/catalog/scope.h"
#include "thaw/net/grpc.h"
#include "thaw/net/http.h"

namespace thaw::gateway {

struct Identity {
  enum class Kind { token, container, admin } kind = Kind::token;
  model::WorkspaceId workspace;
  model::TokenId token;              // token only
  model::ContainerId container;      // container only
  model::EnvironmentId environment;  // the only one that it acts in; empty: all of the workspace
  model::Reach reach = model::Reach::workspace;
};

// Whose share of the server's memory and connections a request of `who` uses.
net::Admission admission_of(const Identity& who);
// What the asker may see.
catalog::Scope scope_of(const catalog::Catalog& catalog, const Identity& who);

struct NewToken {
  model::TokenId id;
  std::string secret;
};

class Access {
 public:
  explicit Access(catalog::Catalog& catalog) : catalog_(catalog) {}

  // Set by main: what a container that lives runs.
  std::function<Result<std::shared_ptr<const model::FunctionSpec>>(const model::ContainerId&)>
      function_of_container;

  // unauthenticated when the pair is unknown; how long that takes tells nothing about what is
  // wrong.
  Result<Identity> from_token(const std::string& id, const std::string& secret) const;
  // For peers on Unix sockets and doors.
  Result<Identity> from_socket(const net::Peer& peer) const;

  // What people call them: the token's name, the container's id, "the administrator".
  std::string name_of(const Identity& who) const;

  // nullptr for who came without one.
  std::shared_ptr<const model::Token> token_of(const Identity& who) const {
    return catalog_.tokens.find(who.token.str());
  }

  // Whether it has not been revoked.
  bool is_token(const model::TokenId& id) const {
    return catalog_.tokens.find(id.str()) != nullptr;
  }

  // not_found says how to make one.
  Result<std::shared_ptr<const model::Workspace>> workspace_named(const std::string& name) const;
  // With an environment "main". already_exists; invalid_argument says what a name is.
  async::Task<model::Workspace> create_workspace(std::string name);

  async::Task<NewToken> create_token(model::WorkspaceId workspace, std::string name);
  async::Task<void> revoke_token(model::TokenId id);

 private:
  bool is_right(const model::Token& token, const std::string& secret) const;

  catalog::Catalog& catalog_;
  // What was found right lately, so that a client's every request need not be hashed. It proves
  // nothing by itself: the token must still be there, with the digest that it had.
  struct Proven {
    std::string secret;
    std::string sha256_hex;
  };
  mutable std::unordered_map<std::string, Proven> proven_;
};

}  // namespace thaw::gateway
