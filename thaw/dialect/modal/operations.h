// SPDX-License-Identifier: Apache-2.0
//
// What each RPC asks of a token. One that is not in the table cannot be served: rpc.h checks that
// when the server starts.
#pragma once

#include <string_view>

#include "thaw/gateway/operation.h"

namespace thaw::dialect::modal {

// By the RPC's name, without its service; nullptr: there is none.
const gateway::Operation* find_operation(std::string_view rpc);
// The RPC of a path such as "/modal.client.ModalClient/FunctionMap".
inline std::string_view rpc_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Of a request that makes what it names, whatever its RPC asks otherwise.
inline constexpr gateway::Operation making = {"to make what is named", model::TokenScope::deploy,
                                              gateway::Operation::Of::workspace};

}  // namespace thaw::dialect::modal
