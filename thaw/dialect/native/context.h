// SPDX-License-Identifier: Apache-2.0
//
// What every operation works with: the owners, and where this server stands. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "thaw/catalog/scope.h"
#include "thaw/gateway/dialect.h"
#include "thaw/net/http.h"

namespace thaw::dialect::native {

// FunctionSpec::dialect of what is published here.
inline constexpr const char* dialect_name = "native";

struct Context {
  explicit Context(const gateway::Owners& given) : owners(given) {}

  gateway::Owners owners;
  gateway::Surroundings place;  // once the server listens
};

// A function of this dialect, as somebody may see it.
struct Published {
  std::shared_ptr<const model::App> app;
  std::shared_ptr<const catalog::Function> function;
  std::shared_ptr<const model::FunctionSpec> spec;  // its live version
};
// not_found says how to make one. In the default environment of the scope.
Result<Published> find_published(const catalog::Scope& scope, const std::string& name);

// Whether only token holders may call it. What was pushed for anyone on this machine is not for
// anyone elsewhere, should the server be reached from there by now; and one whose definition cannot
// be read admits nobody else.
bool is_for_tokens(const Context& cx, const model::FunctionSpec& spec);

// A token in "Authorization: Bearer ID:SECRET", or the administrator's socket. unauthenticated says
// how to show one.
Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request);

}  // namespace thaw::dialect::native
