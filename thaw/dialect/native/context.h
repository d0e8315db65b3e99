// SPDX-License-Identifier: Apache-2.0
//
// What every operation works with: the owners, and where this server stands. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/catalog/scope.h"
#include "thaw/gateway/dialect.h"
#include "thaw/gateway/models.h"
#include "thaw/net/http.h"

namespace thaw::dialect::native {

// FunctionSpec::dialect of what is published here.
inline constexpr const char* dialect_name = "native";

struct Options {
  std::size_t keep_versions = 10;  // of a function whose push does not say how many
};

struct Context {
  Context(const gateway::Owners& given, Options chosen) : owners(given), options(chosen) {}

  gateway::Owners owners;
  Options options;
  gateway::Surroundings place;  // once the server listens
  gateway::Models models;
  // What is_for_tokens() has read: a definition may be long, and is not for each request to parse.
  mutable std::map<std::weak_ptr<const model::FunctionSpec>, bool, std::owner_less<>> for_tokens;
};

// A function of this dialect, as somebody may see it.
using gateway::Published;
// not_found says how to make one. In the default environment of the scope.
Result<Published> find_published(const Context& cx, const catalog::Scope& scope,
                                 const std::string& name);

// By which a request asks for a version or an alias, and an answer says which version gave it.
inline constexpr const char* version_header = "thaw-version";

// Where a request to it goes that asks for this version or alias; empty: for none.
Result<gateway::Route> find_route(Context& cx, const catalog::Scope& scope,
                                  const Published& published, const std::string& asked);
// Whether it asks for a version by its own name. That is for who has a token: where there is room
// for few containers, each version that is asked for takes it from the others.
bool asks_for_a_version(const std::string& asked);

// Whether only token holders may call a function, at any of its versions: if its live one says so,
// whatever an older one said. So is what only this one of its versions says.
bool is_for_tokens(const Context& cx, const std::shared_ptr<const model::FunctionSpec>& live,
                   const std::shared_ptr<const model::FunctionSpec>& spec);
// Whether only token holders may call it. What was pushed for anyone on this machine is not for
// anyone elsewhere, should the server be reached from there by now; and one whose definition cannot
// be read admits nobody else.
bool is_for_tokens(const Context& cx, const std::shared_ptr<const model::FunctionSpec>& spec);

// A token in any of the headers that gateway/credentials.h lists, or the administrator's socket.
// unauthenticated says how to show one.
Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request);

}  // namespace thaw::dialect::native
