// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/registry_auth.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"

namespace thaw::image {

namespace {

constexpr std::size_t longest_header = 8u << 10;
constexpr std::size_t longest_token = 32u << 10;
constexpr std::size_t longest_complaint = 300;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t,"), text.size()));
}

// name=value or name="quoted \" value", behind each other with commas. What is malformed ends it.
std::map<std::string, std::string> read_parameters(std::string_view text) {
  std::map<std::string, std::string> out;
  while (true) {
    skip_blanks(text);
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) {
      return out;
    }
    const std::string name = lower(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    std::string value;
    if (text.starts_with('"')) {
      std::size_t at = 1;
      while (at < text.size() && text[at] != '"') {
        at += text[at] == '\\' && at + 1 < text.size() ? 1 : 0;
        value.push_back(text[at++]);
      }
      text.remove_prefix(std::min(at + 1, text.size()));
    } else {
      const auto end = std::min(text.find_first_of(" \t,"), text.size());
      value = text.substr(0, end);
      text.remove_prefix(end);
    }
    out.emplace(name, std::move(value));
  }
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out.push_back(c);
    } else {
      char hex[4];
      std::snprintf(hex, sizeof hex, "%%%02X", byte);
      out += hex;
    }
  }
  return out;
}

}  // namespace

std::optional<AuthChallenge> read_challenge(std::string_view header) {
  if (header.size() > longest_header) {
    return std::nullopt;
  }
  skip_blanks(header);
  const auto end = std::min(header.find_first_of(" \t"), header.size());
  const std::string scheme = lower(header.substr(0, end));
  AuthChallenge challenge;
  if (scheme == "basic") {
    return challenge;
  }
  if (scheme != "bearer") {
    return std::nullopt;
  }
  const auto parameters = read_parameters(header.substr(end));
  const auto value_of = [&parameters](const char* name) {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::string() : found->second;
  };
  challenge.scheme = AuthChallenge::Scheme::bearer;
  challenge.realm = value_of("realm");
  challenge.service = value_of("service");
  challenge.scope = value_of("scope");
  return challenge.realm.empty() ? std::nullopt : std::optional(challenge);
}

std::string basic_authorization(const RegistryLogin& login) {
  return "Basic " + codec::base64_encode(login.user + ":" + login.password);
}

std::string bearer_authorization(const std::string& token) { return "Bearer " + token; }

std::string token_address(const AuthChallenge& challenge, const std::string& repository) {
  const std::string scope =
      challenge.scope.empty() ? "repository:" + repository + ":pull" : challenge.scope;
  std::string address = challenge.realm;
  address += address.find('?') == std::string::npos ? '?' : '&';
  if (!challenge.service.empty()) {
    address += "service=" + escaped(challenge.service) + "&";
  }
  return address + "scope=" + escaped(scope);
}

Result<std::string> read_token(std::string_view answer) {
  const auto json = codec::parse_json(answer);
  for (const char* name : {"token", "access_token"}) {
    if (json && json->is_object() && json->contains(name) && (*json)[name].is_string()) {
      std::string token = (*json)[name].get<std::string>();
      const bool is_sane =
          !token.empty() && token.size() <= longest_token &&
          std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
      if (is_sane) {
        return token;
      }
    }
  }
  return Error::failed_precondition("its answer holds no token");
}

std::string registry_complaint(std::string_view answer) {
  const auto json = codec::parse_json(answer);
  if (!json || !json->is_object() || !json->contains("errors") || !(*json)["errors"].is_array()) {
    return "";
  }
  std::string out;
  for (const auto& error : (*json)["errors"]) {
    const auto message = error.is_object() ? error.find("message") : error.end();
    if (error.is_object() && message != error.end() && message->is_string() && out.empty()) {
      out = message->get<std::string>();
    }
  }
  out = out.substr(0, longest_complaint);
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < ' ' || c >= 0x7f; }, '?');
  return out;
}

}  // namespace thaw::image
