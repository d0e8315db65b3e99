// SPDX-License-Identifier: Apache-2.0
//
// RouterAccess: what lets a client speak with one box: a URL of this server and a token (a JWT,
// whose expiry the client reads) that says which box and whose. Values only.
#pragma once

#include <string>
#include <string_view>

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/sandboxes.pb.h"
#include "thaw/model/box.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

inline std::string router_path(std::string_view name) {
  return "/modal.task_command_router.TaskCommandRouter/" + std::string(name);
}

// For whoever asks by `call`, at the address by which it reached this server. failed_precondition:
// the client would not go there, since it insists on HTTPS unless the server is this machine.
Result<pb::CommandRouterAccess> router_access(Context& cx, const net::GrpcCall& call,
                                              const gateway::Identity& who, const model::Box& box);

struct RouterClaim {
  model::ContainerId container;
  model::WorkspaceId workspace;
};
// What the token of a request says, if this server has made it, its time is not over, and the token
// of who got it is still one;
// unauthenticated otherwise, so that the client asks for another.
Result<RouterClaim> claim_of(Context& cx, const net::Headers& head);

}  // namespace thaw::dialect::modal
