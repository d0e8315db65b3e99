// SPDX-License-Identifier: Apache-2.0
//
// Asker: who asks the registry, and what for. A password is a token of the server's, as every door
// takes it; a client that would rather not send it each time buys a BearerToken with it. Whoever
// shows nothing, or what is not good for what is asked, is told where tokens are sold.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thaw/dialect/registry/context.h"
#include "thaw/dialect/registry/token_scopes.h"
#include "thaw/net/http.h"

namespace thaw::dialect::registry {

struct Asker {
  gateway::Identity who;
  Actions actions;                                // that its grants let it do in its workspace
  std::optional<std::vector<TokenScope>> scopes;  // of who shows a token: these and no others

  // Whether what it has shown is good for these.
  bool may(const std::string& repository, const Actions& wanted) const;
  const model::WorkspaceId& workspace() const { return who.workspace; }
};

// unauthenticated; permission_denied: it may do nothing here.
Result<Asker> find_asker(const Context& cx, const net::HttpRequest& request);
// The same by what a form of the token service has.
Result<Asker> find_asker(const Context& cx, const std::string& user, const std::string& password);

// 401, and what to do about it. `wanted`: as TokenScope writes it; may be empty.
async::Task<void> challenge(const Context& cx, net::HttpExchange& exchange, std::string wanted,
                            Error error);

}  // namespace thaw::dialect::registry
