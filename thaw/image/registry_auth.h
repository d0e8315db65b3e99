// SPDX-License-Identifier: Apache-2.0
//
// What a registry says in WWW-Authenticate, and what it is answered: Basic, or a token that a
// service beside the registry gives out (Bearer). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/image/image.h"

namespace thaw::image {

struct AuthChallenge {
  enum class Scheme { basic, bearer } scheme = Scheme::basic;
  std::string realm;  // of bearer: where tokens are given out
  std::string service;
  std::string scope;
};

// nullopt: it asks for something else.
std::optional<AuthChallenge> read_challenge(std::string_view header);

// The value of Authorization.
std::string basic_authorization(const RegistryLogin& login);
std::string bearer_authorization(const std::string& token);

// Where a token is asked for that allows to read `repository`.
std::string token_address(const AuthChallenge& challenge, const std::string& repository);
// failed_precondition: the answer holds none.
Result<std::string> read_token(std::string_view answer);

// What a registry says is wrong, in a few words for people; empty if it says nothing.
std::string registry_complaint(std::string_view answer);

}  // namespace thaw::image
