// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/router_access.h"

#include <algorithm>
#include <iterator>

#include "thaw/codec/encoding.h"
#include "thaw/codec/equal_bytes.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/other_clients.h"
#include "thaw/dialect/modal/signed_words.h"

namespace thaw::dialect::modal {

namespace {

constexpr const char* purpose = "task-router";
constexpr std::chrono::seconds lifetime = 1h;
// What the client takes for its own machine.
constexpr std::string_view own_hosts[] = {"localhost", "127.0.0.1", "[::1]", "172.21.0.1"};
constexpr std::string_view token_head = R"({"alg":"HS256","typ":"JWT"})";

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch()).count();
}

// The other clients refuse a URL of another scheme than https, and then speak plainly all the same
// if the server that they know is on their own machine. Without a port they would take the one of
// https.
std::string router_url(Context& cx, const net::GrpcCall& call) {
  WebAddresses addresses = addresses_for(cx, call);
  if (is_other_client(call.metadata()) && addresses.scheme == "http") {
    addresses.scheme = "https";
    addresses.authority += addresses.port.empty() ? ":80" : "";
  }
  return addresses.scheme + "://" + addresses.authority;
}

}  // namespace

Result<pb::CommandRouterAccess> router_access(Context& cx, const net::GrpcCall& call,
                                              const gateway::Identity& who, const model::Box& box) {
  const WebAddresses addresses = addresses_for(cx, call);
  const std::string host = addresses.authority.substr(0, addresses.authority.rfind(':'));
  const bool is_far =
      std::find(std::begin(own_hosts), std::end(own_hosts), host) == std::end(own_hosts);
  const bool is_inside = call.peer().transport == net::Peer::Transport::unix_socket;
  if (addresses.scheme != "https" && (is_far || is_inside)) {
    return Error::failed_precondition(
        "what runs in a sandbox is reached by HTTPS, or from this machine by 127.0.0.1 or "
        "localhost: the client insists on it; put a proxy with a certificate before the server "
        "([web] trusted_proxies)");
  }
  const codec::Json payload = {{"box", box.container},
                               {"workspace", box.workspace},
                               {"by", who.token},
                               {"exp", unix_now() + lifetime.count()}};
  const std::string said =
      codec::base64url_encode(token_head) + "." + codec::base64url_encode(payload.dump());
  pb::CommandRouterAccess access;
  access.set_jwt(sign_words(cx, purpose, said));
  access.set_url(router_url(cx, call));
  return access;
}

Result<RouterClaim> claim_of(Context& cx, const net::Headers& head) {
  const Error refused = Error::unauthenticated("the token of this sandbox is not valid");
  constexpr std::string_view bearer = "Bearer ";
  const auto header = head.find("authorization");
  if (!header || !std::string_view(*header).starts_with(bearer)) {
    return refused;
  }
  const std::string_view token = std::string_view(*header).substr(bearer.size());
  const auto said = genuine_words(cx, purpose, token);
  const std::size_t dot = said ? said->find('.') : std::string_view::npos;
  if (dot == std::string_view::npos) {
    return refused;
  }
  // From here on it is what this server has said.
  THAW_TRY(const std::string text, codec::base64url_decode(said->substr(dot + 1)));
  THAW_TRY(const codec::Json payload, codec::parse_json(text));
  RouterClaim claim;
  std::int64_t until = 0;
  model::TokenId by;
  codec::Fields fields(payload);
  fields.read("box", claim.container);
  fields.read("workspace", claim.workspace);
  fields.read("by", by);
  fields.read("exp", until);
  THAW_TRY_VOID(fields.outcome());
  if (until < unix_now()) {
    return Error::unauthenticated("the token of this sandbox has expired");
  }
  if (!by.empty() && !cx.parts.access.is_token(by)) {
    return Error::unauthenticated(
        "the token of who asked for this one was revoked, or its time is over");
  }
  return claim;
}

}  // namespace thaw::dialect::modal
