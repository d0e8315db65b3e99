// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/api_key.h"

#include <algorithm>

#include "thaw/codec/ids.h"

namespace thaw::codec {

namespace {

constexpr std::size_t id_letters = 22;
constexpr std::size_t secret_letters = 43;
constexpr std::size_t longest = 512;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_letter(c) || c == '-' || c == '_'; });
}

Error not_a_key() {
  return Error::invalid_argument(
      "that is no key of this server: a key ends with the 22 letters of a token's id and the 43 of "
      "its secret, or is TOKEN_ID:SECRET; `thaw token create` prints one");
}

}  // namespace

bool is_key_prefix(std::string_view prefix) {
  return prefix.empty() || (prefix.size() <= most_key_prefix && is_word(prefix) &&
                            (prefix.back() == '_' || prefix.back() == '-'));
}

Result<ApiKey> parse_api_key(std::string_view text) {
  if (text.size() > longest) {
    return not_a_key();
  }
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    ApiKey pair{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
    if (!has_id_shape(pair.id, token_id_prefix) || !is_word(pair.secret) || pair.secret.empty()) {
      return not_a_key();
    }
    return pair;
  }
  if (text.size() < id_letters + secret_letters || !is_word(text)) {
    return not_a_key();
  }
  const std::string_view secret = text.substr(text.size() - secret_letters);
  text.remove_suffix(secret_letters);
  const std::string_view id = text.substr(text.size() - id_letters);
  text.remove_suffix(id_letters);
  if (!is_key_prefix(text) || !std::all_of(id.begin(), id.end(), is_letter)) {
    return not_a_key();
  }
  ApiKey key;
  key.id = std::string(token_id_prefix) + "-" + std::string(id);
  key.secret = std::string(secret_prefix) + std::string(secret);
  return key;
}

std::string api_key_text(std::string_view prefix, const ApiKey& key) {
  const bool is_usual = has_id_shape(key.id, token_id_prefix) &&
                        key.id.size() == token_id_prefix.size() + 1 + id_letters &&
                        key.secret.starts_with(secret_prefix) &&
                        key.secret.size() == secret_prefix.size() + secret_letters;
  if (!is_usual) {
    return key.id + ":" + key.secret;
  }
  return std::string(prefix) + key.id.substr(token_id_prefix.size() + 1) +
         key.secret.substr(secret_prefix.size());
}

}  // namespace thaw::codec
