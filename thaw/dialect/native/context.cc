// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/context.h"

#include "thaw/dialect/native/push_request.h"

namespace thaw::dialect::native {

namespace {

constexpr std::size_t most_known = 1'000;  // definitions

}  // namespace

Result<Published> find_published(const Context& cx, const catalog::Scope& scope,
                                 const std::string& name) {
  if (auto published = cx.owners.invoke.find(scope, dialect_name, name)) {
    return std::move(*published);
  }
  return Error::not_found("no function '" + name.substr(0, 63) +
                          "' is pushed here; `thaw function list` shows what is, and `thaw push "
                          "FOLDER NAME` adds one");
}

Result<gateway::Route> find_route(Context& cx, const catalog::Scope& scope,
                                  const Published& published, const std::string& asked) {
  return cx.owners.versions.route(scope, *published.function, asked);
}

bool asks_for_a_version(const std::string& asked) {
  return asked.starts_with(model::version_prefix);
}

bool is_for_tokens(const Context& cx, const std::shared_ptr<const model::FunctionSpec>& live,
                   const std::shared_ptr<const model::FunctionSpec>& spec) {
  return is_for_tokens(cx, live) || (spec != live && is_for_tokens(cx, spec));
}

bool is_for_tokens(const Context& cx, const std::shared_ptr<const model::FunctionSpec>& spec) {
  if (!cx.place.is_on_loopback) {
    return true;
  }
  if (const auto known = cx.for_tokens.find(spec); known != cx.for_tokens.end()) {
    return known->second;
  }
  if (cx.for_tokens.size() >= most_known) {
    cx.for_tokens.clear();
  }
  const auto definition = read_definition(spec->definition);
  const bool is = !definition || definition->for_tokens;
  cx.for_tokens.emplace(spec, is);
  return is;
}

Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request) {
  THAW_TRY(gateway::Identity who, cx.owners.access.from_request(request));
  if (who.kind == gateway::Identity::Kind::container) {
    return Error::permission_denied("containers have no access to this API");
  }
  return who;
}

}  // namespace thaw::dialect::native
