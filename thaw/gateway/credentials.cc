// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/credentials.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "thaw/codec/encoding.h"

namespace thaw::gateway {

namespace {

constexpr std::string_view key_headers[] = {"api-key", "x-api-key"};
constexpr std::size_t longest = 4'096;

// What stands behind a scheme's name, in whatever letters; nullopt: it is another scheme.
std::optional<std::string_view> behind(std::string_view value, std::string_view scheme) {
  const bool is_same = value.size() > scheme.size() && value[scheme.size()] == ' ' &&
                       std::equal(scheme.begin(), scheme.end(), value.begin(), [](char a, char b) {
                         return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
                       });
  if (!is_same) {
    return std::nullopt;
  }
  value.remove_prefix(scheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

std::optional<codec::ApiKey> key_in(std::string_view text) {
  auto key = codec::parse_api_key(text);
  return key ? std::optional(std::move(*key)) : std::nullopt;
}

// A registry's client sends any user, a scraper the id and the secret.
std::optional<codec::ApiKey> key_in_basic(std::string_view text) {
  const auto pair = codec::base64_decode(text);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return std::nullopt;
  }
  const std::string password = pair->substr(colon + 1);
  if (auto key = key_in(password)) {
    return key;
  }
  return key_in(*pair);
}

std::optional<codec::ApiKey> key_in_authorization(std::string_view value) {
  if (const auto basic = behind(value, "basic")) {
    return key_in_basic(*basic);
  }
  for (const std::string_view scheme : {"bearer", "token"}) {
    if (const auto key = behind(value, scheme)) {
      return key_in(*key);
    }
  }
  return key_in(value);
}

}  // namespace

std::optional<Credential> credential_in(const net::Headers& headers,
                                        const std::vector<CredentialHeaders>& more) {
  const auto value_of = [&headers](std::string_view name) {
    const std::string_view value = headers.find(name).value_or("");
    return value.size() > longest ? std::string_view() : value;
  };
  for (const CredentialHeaders& pair : more) {
    if (pair.secret.empty()) {
      continue;
    }
    const std::string both =
        std::string(value_of(pair.key)) + ":" + std::string(value_of(pair.secret));
    if (auto key = key_in(both)) {
      return Credential{std::move(*key), {pair.key, pair.secret}};
    }
  }
  if (auto key = key_in_authorization(value_of("authorization"))) {
    return Credential{std::move(*key), {"authorization"}};
  }
  for (const std::string_view name : key_headers) {
    if (auto key = key_in(value_of(name))) {
      return Credential{std::move(*key), {std::string(name)}};
    }
  }
  for (const CredentialHeaders& each : more) {
    auto key = each.secret.empty() ? key_in(value_of(each.key)) : std::nullopt;
    if (key) {
      return Credential{std::move(*key), {each.key}};
    }
  }
  return std::nullopt;
}

}  // namespace thaw::gateway
