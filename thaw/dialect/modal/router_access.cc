// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/router_access.h"

#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/other_clients.h"

namespace thaw::dialect::modal {

namespace {

constexpr const char* purpose = "task-router";
constexpr std::chrono::seconds lifetime = 1h;
constexpr std::string_view token_head = R"({"alg":"HS256","typ":"JWT"})";

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch()).count();
}

// In as much time whether they differ early or late.
bool is_same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |=
        static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  }
  return difference == 0;
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

std::string signature_of(const Context& cx, std::string_view said) {
  return codec::base64url_encode(cx.parts.secrets.sign(purpose, std::string(said)));
}

}  // namespace

pb::CommandRouterAccess router_access(Context& cx, const net::GrpcCall& call,
                                      const model::Box& box) {
  const codec::Json payload = {
      {"box", box.container}, {"workspace", box.workspace}, {"exp", unix_now() + lifetime.count()}};
  const std::string said =
      codec::base64url_encode(token_head) + "." + codec::base64url_encode(payload.dump());
  pb::CommandRouterAccess access;
  access.set_jwt(said + "." + signature_of(cx, said));
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
  const std::size_t first = token.find('.');
  const std::size_t second = token.rfind('.');
  if (first == std::string_view::npos || first == second) {
    return refused;
  }
  if (!is_same(token.substr(second + 1), signature_of(cx, token.substr(0, second)))) {
    return refused;
  }
  // From here on it is what this server has said.
  THAW_TRY(const std::string text,
           codec::base64url_decode(token.substr(first + 1, second - first - 1)));
  THAW_TRY(const codec::Json payload, codec::parse_json(text));
  RouterClaim claim;
  std::int64_t until = 0;
  codec::Fields fields(payload);
  fields.read("box", claim.container);
  fields.read("workspace", claim.workspace);
  fields.read("exp", until);
  THAW_TRY_VOID(fields.outcome());
  if (until < unix_now()) {
    return Error::unauthenticated("the token of this sandbox has expired");
  }
  return claim;
}

}  // namespace thaw::dialect::modal
