// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/context.h"

#include "thaw/codec/utf8.h"

namespace thaw::dialect::replicate {

namespace {

constexpr std::size_t most_schemas = 1'000;
constexpr std::size_t longest_authority = 255;
constexpr const char* pieces_mark = "x-cog-array-type";  // in schemas that cog makes

}  // namespace

Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request) {
  THAW_TRY(gateway::Identity who, cx.owners.access.from_request(request));
  if (who.kind == gateway::Identity::Kind::container) {
    return Error::permission_denied("containers have no access to this API");
  }
  return who;
}

gateway::BaseUrl origin_of(const Context& cx, const net::HttpRequest& request) {
  // Who asks on a socket of this machine has no address of its own to answer at.
  if (request.peer.transport == net::Peer::Transport::unix_socket) {
    return cx.place.base();
  }
  const gateway::WebOrigin origin = cx.place.proxies.origin_of(request);
  if (origin.authority.empty() || origin.scheme.empty()) {
    return cx.place.base();
  }
  return {origin.scheme, codec::valid_utf8(origin.authority.substr(0, longest_authority))};
}

std::string base_of(const Context& cx, const net::HttpRequest& request) {
  return origin_of(cx, request) + api_prefix;
}

std::shared_ptr<const gateway::InputSchema> schema_of(
    Context& cx, const std::shared_ptr<const model::ModelCard>& card) {
  if (const auto known = cx.schemas.find(card); known != cx.schemas.end()) {
    return known->second;
  }
  if (cx.schemas.size() >= most_schemas) {
    cx.schemas.clear();
  }
  auto schema = std::make_shared<const gateway::InputSchema>(card->schema, pieces_mark);
  return cx.schemas.emplace(card, std::move(schema)).first->second;
}

}  // namespace thaw::dialect::replicate
