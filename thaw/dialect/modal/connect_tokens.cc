// SPDX-License-Identifier: Apache-2.0
// Connect tokens: whoever shows one speaks HTTP with a port of a sandbox, and its server is told
// what the token's maker has said of them. A token names sandbox and port, and is signed; it holds
// as long as the sandbox lives and the token of who made it is one.
#include <algorithm>

#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/box_labels.h"
#include "thaw/dialect/modal/box_ports.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/sandbox_definition.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/signed_words.h"
#include "thaw/dialect/modal/web_port.h"

namespace thaw::dialect::modal {

using async::Task;
using control::BoxPtr;

namespace {

constexpr const char* purpose = "connect-token";
constexpr std::string_view token_name = "_modal_connect_token";  // in a query, and as a cookie
constexpr const char* said_header = "x-verified-user-data";
constexpr std::uint16_t usual_port = 8080;
constexpr std::size_t longest_said = 2'048;

struct Claim {
  std::uint16_t port = 0;
  std::string said;
};

Result<Claim> claim_from(Context& cx, const model::ContainerId& container, std::string_view token) {
  const Error refused = Error::unauthenticated("the connect token is not valid for this sandbox");
  const auto words = genuine_words(cx, purpose, token);
  if (!words) {
    return refused;
  }
  THAW_TRY(const std::string text, codec::base64url_decode(*words));
  THAW_TRY(const codec::Json payload, codec::parse_json(text));
  Claim claim;
  model::ContainerId named;
  model::TokenId by;
  codec::Fields fields(payload);
  fields.read("box", named);
  fields.read("port", claim.port);
  fields.read("said", claim.said);
  fields.read("by", by);
  THAW_TRY_VOID(fields.outcome());
  if (named != container) {
    return refused;
  }
  if (!by.empty() && !cx.parts.access.is_token(by)) {
    return Error::unauthenticated("the token of who made this connect token was revoked");
  }
  return claim;
}

// Takes the values of our name out of a list such as "a=1&NAME=2"; the last one is the token.
std::string take_out(std::string_view list, char between, std::string& token) {
  std::string left;
  while (!list.empty()) {
    std::string_view one = list.substr(0, list.find(between));
    list.remove_prefix(std::min(list.size(), one.size() + 1));
    std::string_view bare = one;
    bare.remove_prefix(std::min(bare.find_first_not_of(' '), bare.size()));
    if (bare.starts_with(token_name) && bare.substr(token_name.size()).starts_with('=')) {
      token = bare.substr(token_name.size() + 1);
      continue;
    }
    left += left.empty() ? std::string(bare) : between + std::string(one);
  }
  return left;
}

// What a request shows, and what of it the server inside is to see.
struct Shown {
  std::string token;
  std::string target;
  std::optional<std::string> cookies;  // those that are not ours, if ours was among them
  bool is_in_header = false;
  bool is_in_query = false;
};

Shown shown_in(const net::HttpRequest& request, const std::string& root_path) {
  Shown shown;
  const std::string target = target_below(request, root_path);
  const std::size_t mark = target.find('?');
  const std::string query =
      mark == std::string::npos ? "" : take_out(target.substr(mark + 1), '&', shown.token);
  shown.is_in_query = !shown.token.empty();
  shown.target = target.substr(0, mark) + (query.empty() ? "" : "?" + query);
  constexpr std::string_view bearer = "Bearer ";
  const auto header = request.headers.find("authorization");
  if (!shown.is_in_query && header && header->starts_with(bearer)) {
    shown.token = header->substr(bearer.size());
    shown.is_in_header = true;
  }
  std::string cookies;
  std::string of_cookie;
  for (const auto& [name, value] : request.headers.fields) {
    cookies += name != "cookie" ? "" : (cookies.empty() ? "" : "; ") + value;
  }
  std::string others = take_out(cookies, ';', of_cookie);
  if (!of_cookie.empty()) {
    shown.cookies = std::move(others);
    shown.token = shown.token.empty() ? of_cookie : shown.token;
  }
  return shown;
}

Task<void> refuse(net::HttpExchange& exchange, std::string why) {
  const std::string body = error_body(why);
  co_return co_await exchange.answer(401, "application/json", body);
}

Task<void> serve(Context& cx, BoxPtr box, net::HttpExchange& exchange, std::string root_path) {
  Shown shown = shown_in(exchange.request(), root_path);
  if (shown.token.empty()) {
    co_return co_await refuse(exchange,
                              "a connect token is missing: send it as 'Authorization: Bearer "
                              "TOKEN', or as ?_modal_connect_token=TOKEN");
  }
  const Result<Claim> claim = claim_from(cx, box->record.container, shown.token);
  if (!claim) {
    co_return co_await refuse(exchange, claim.error().message());
  }
  gateway::BoxVisit visit;
  visit.box = std::move(box);
  visit.to = {claim->port, model::BoxPort::Speaks::http1};
  visit.target = std::move(shown.target);
  visit.origin = cx.place.proxies.origin_of(exchange.request());
  visit.adds.add(said_header, claim->said);
  if (shown.cookies && !shown.cookies->empty()) {
    visit.adds.add("cookie", *shown.cookies);
  }
  visit.withholds = [header = shown.is_in_header,
                     cookie = shown.cookies.has_value()](std::string_view name) {
    return name == said_header || (header && name == "authorization") ||
           (cookie && name == "cookie");
  };
  if (shown.is_in_query) {
    // A page's own links have no token.
    const std::string kept = std::string(token_name) + "=" + shown.token +
                             "; Path=" + (root_path.empty() ? "/" : root_path) +
                             "; HttpOnly; SameSite=Lax" +
                             (visit.origin.scheme == "https" ? "; Secure" : "");
    visit.edit_answer = [kept](net::Headers& headers) { headers.add("set-cookie", kept); };
  }
  visit.root_path = std::move(root_path);
  co_return co_await cx.parts.box_visits.lead(exchange, std::move(visit));
}

std::string connect_label(const Context& cx, const BoxPtr& box) {
  return box_label(cx, box->record.container, "");
}

std::string url_of(const WebAddresses& addresses, const std::string& label) {
  return addresses.scheme + "://" +
         (addresses.domain.empty() ? addresses.authority + "/web/" + label
                                   : label + "." + addresses.domain + addresses.port);
}

Task<pb::SandboxCreateConnectTokenResponse> create_token(
    Context& cx, net::GrpcCall& call, pb::SandboxCreateConnectTokenRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  const std::uint32_t port = request.has_port() ? request.port() : usual_port;
  if (port == 0 || port > 65'535) {
    co_return Error::invalid_argument(std::to_string(port) + " is no port; there are 1 to 65535");
  }
  const std::string& said = request.user_metadata();
  if (said.size() > longest_said ||
      std::any_of(said.begin(), said.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
    co_return Error::invalid_argument(
        "user_metadata goes into a header: it has at most 2048 bytes, and no line ends or other "
        "control characters");
  }
  if (!found.box || found.now().has_ended()) {
    co_return Error::failed_precondition("sandbox '" + request.sandbox_id() + "' has ended");
  }
  const BoxPtr& box = found.box;
  if (const auto address = cx.parts.boxes.address_of(box->record.container);
      !address && address.error().code() != Code::unavailable) {
    co_return address.error();
  }
  lend_connect_label(cx, box);
  const codec::Json payload = {
      {"box", box->record.container}, {"port", port}, {"said", said}, {"by", who.token}};
  pb::SandboxCreateConnectTokenResponse reply;
  reply.set_url(url_of(addresses_for(cx, call), connect_label(cx, box)));
  reply.set_token(sign_words(cx, purpose, codec::base64url_encode(codec::dump_json(payload))));
  co_return reply;
}

}  // namespace

void lend_connect_label(Context& cx, const BoxPtr& box) {
  cx.parts.web.lend(connect_label(cx, box), while_it_lives(box),
                    [&cx, id = box->record.id](net::HttpExchange& exchange, std::string root_path) {
                      return serve(cx, cx.parts.boxes.find(id), exchange, std::move(root_path));
                    });
}

void add_connect_token_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "SandboxCreateConnectToken", create_token);
  add(table, cx, "SandboxCreateConnectTokenV2", create_token);
}

}  // namespace thaw::dialect::modal
