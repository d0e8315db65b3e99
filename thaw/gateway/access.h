// SPDX-License-Identifier: Apache-2.0
//
// Access: who is asking. A token's secret is 256 random bits and only its SHA-256 is stored; a
// container is known by its socket and acts for its own workspace; the admin socket (0600) acts for
// the default workspace. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "thaw/catalog/catalog.h"
#include "thaw/net/http.h"

namespace thaw::gateway {

struct Identity {
  enum class Kind { token, container, admin } kind = Kind::token;
  model::WorkspaceId workspace;
  model::TokenId token;          // token only
  model::ContainerId container;  // container only
};

struct NewToken {
  model::TokenId id;
  std::string secret;
};

class Access {
 public:
  explicit Access(catalog::Catalog& catalog) : catalog_(catalog) {}

  // Set by main: the workspace of a container that lives.
  std::function<Result<model::WorkspaceId>(const model::ContainerId&)> workspace_of_container;

  // unauthenticated when the pair is unknown (in the time that a right one takes).
  Result<Identity> from_token(const std::string& id, const std::string& secret) const;
  // For peers on Unix sockets.
  Result<Identity> from_socket(const net::Peer& peer) const;

  async::Task<NewToken> create_token(model::WorkspaceId workspace, std::string name);
  async::Task<void> revoke_token(model::TokenId id);

 private:
  catalog::Catalog& catalog_;
};

}  // namespace thaw::gateway
