// SPDX-License-Identifier: Apache-2.0
//
// What a token of the token service is good for, as clients ask for it: "repository:NAME:pull,push"
// in words with blanks between; or for the list of repositories, "registry:catalog:*". Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw::dialect::registry {

// What is done to a repository; several.
struct Actions {
  bool pull = false;
  bool push = false;
  bool erase = false;

  bool covers(const Actions& other) const {
    return (pull || !other.pull) && (push || !other.push) && (erase || !other.erase);
  }
  Actions operator&(const Actions& other) const {
    return {pull && other.pull, push && other.push, erase && other.erase};
  }
};

// Of the list of repositories.
inline constexpr std::string_view catalog_scope = "registry:catalog:*";

struct TokenScope {
  std::string repository;  // empty: the list of them
  Actions actions;
};

// What is neither is left out; so is what comes behind the first 64.
std::vector<TokenScope> read_scopes(std::string_view text);
// Of every "scope" in a query or a form.
std::vector<TokenScope> scopes_of_query(std::string_view query);
std::string write_scope(const TokenScope& scope);

}  // namespace thaw::dialect::registry
