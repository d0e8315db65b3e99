// SPDX-License-Identifier: Apache-2.0
//
// BearerToken: what the token service gives to who has shown a password, and what its holder shows
// from then on: whose it is, what it is good for, and until when. It is signed with the data
// folder's key and nothing of it is kept; it ends with the token that it was bought with. Pure but
// for the key.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/dialect/registry/token_scopes.h"
#include "thaw/model/ids.h"
#include "thaw/store/secret_box.h"

namespace thaw::dialect::registry {

struct BearerToken {
  model::TokenId token;  // empty: the administrator's
  std::vector<TokenScope> scopes;
  std::int64_t good_until = 0;  // seconds since the epoch
};

std::string write_token(const BearerToken& token, const store::SecretBox& box);
// Whether it looks like one of ours, genuine or not.
bool is_bearer_token(std::string_view text);
// nullopt: it is not genuine.
std::optional<BearerToken> read_token(std::string_view text, const store::SecretBox& box);

}  // namespace thaw::dialect::registry
