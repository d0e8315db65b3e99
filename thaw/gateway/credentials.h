// SPDX-License-Identifier: Apache-2.0
//
// Credentials: what a request of HTTP shows of a token, in whichever header its client is used to.
// Pure: whether the token is one is access.h's to say.
//
//   Authorization: Bearer KEY | Token KEY | KEY       a key is codec/api_key.h's text
//   Authorization: Basic …                            the password is a key; or id and secret
//   api-key, x-api-key: KEY                           and what dialects add
//   an id's and a secret's headers                    that dialects add
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/codec/api_key.h"
#include "thaw/net/http.h"

namespace thaw::gateway {

// Headers of one cloud's clients, by their lower-case names.
struct CredentialHeaders {
  std::string key;     // has a key, or an id where there is a header for the secret
  std::string secret;  // empty: `key` has both
};

struct Credential {
  codec::ApiKey key;
  std::vector<std::string> headers;  // that showed it: whom the request goes on to is not shown it
};

// The first that has the shape of one, pairs before all others; nullopt: none has.
std::optional<Credential> credential_in(const net::Headers& headers,
                                        const std::vector<CredentialHeaders>& more);

}  // namespace thaw::gateway
