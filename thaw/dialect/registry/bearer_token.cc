// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/bearer_token.h"

#include "thaw/codec/encoding.h"
#include "thaw/codec/equal_bytes.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"

namespace thaw::dialect::registry {

namespace {

constexpr std::string_view prefix = "thaw-registry.";
constexpr const char* purpose = "registry-token";

}  // namespace

std::string write_token(const BearerToken& token, const store::SecretBox& box) {
  std::string scopes;
  for (const TokenScope& scope : token.scopes) {
    scopes += (scopes.empty() ? "" : " ") + write_scope(scope);
  }
  const codec::Json json = {
      {"token", token.token}, {"scopes", scopes}, {"until", token.good_until}};
  const std::string body = codec::base64url_encode(codec::dump_json(json));
  return std::string(prefix) + body + "." + box.sign(purpose, body);
}

bool is_bearer_token(std::string_view text) { return text.starts_with(prefix); }

std::optional<BearerToken> read_token(std::string_view text, const store::SecretBox& box) {
  if (!is_bearer_token(text)) {
    return std::nullopt;
  }
  text.remove_prefix(prefix.size());
  const auto dot = text.find('.');
  const std::string_view body = text.substr(0, dot);
  if (dot == std::string_view::npos ||
      !codec::equal_bytes(text.substr(dot + 1), box.sign(purpose, body))) {
    return std::nullopt;
  }
  const auto bytes = codec::base64url_decode(body);
  const auto json = bytes ? codec::parse_json(*bytes) : Result<codec::Json>(bytes.error());
  if (!json) {
    return std::nullopt;
  }
  BearerToken token;
  std::string scopes;
  codec::Fields fields(*json);
  fields.read("token", token.token);
  fields.read("scopes", scopes);
  fields.read("until", token.good_until);
  token.scopes = read_scopes(scopes);
  return fields.outcome() ? std::optional(std::move(token)) : std::nullopt;
}

}  // namespace thaw::dialect::registry
