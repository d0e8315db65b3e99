// SPDX-License-Identifier: Apache-2.0
//
// An operation of a door, as far as tokens are concerned: which scopes let somebody do it, and what
// it reaches. Every door has a table of its operations, so that none of them goes unchecked.
#pragma once

#include <string_view>

#include "thaw/model/token.h"

namespace thaw::gateway {

struct Operation {
  std::string_view name;  // as a refusal tells it: "FunctionMap", "GET /api/v1/functions"
  model::TokenScopes any_of;
  // What a token that is good for some functions only may do of it. functions: it names functions
  // or apps or their calls, which are found through scope_of() or Invoke::find_call(), and those
  // are as narrow as the token. anything: it reaches nothing of the workspace. workspace: it is
  // about all of the workspace, and is not for such a token.
  enum class Of { functions, anything, workspace } of = Of::functions;
};

}  // namespace thaw::gateway
