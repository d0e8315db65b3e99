// SPDX-License-Identifier: Apache-2.0
//
// ApiKey: a token's id and secret as one text, pure. Clients of different clouds want keys that
// begin differently, so a key is read from its end: PREFIX, the 22 letters of the id, the 43 of the
// secret. "r8_…", "sk-…", "hf_…" and no prefix at all are one token. "ID:SECRET" is read too.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::codec {

inline constexpr std::string_view token_id_prefix = "ak";  // "ak-" + 22 letters of base 62
inline constexpr std::string_view secret_prefix = "as-";   // and 43 letters of base64url
inline constexpr std::size_t most_key_prefix = 24;

struct ApiKey {
  std::string id;      // as the catalog has it
  std::string secret;  // as it was given out
  bool operator==(const ApiKey&) const = default;
};

// invalid_argument tells what a key is, and nothing of the text.
Result<ApiKey> parse_api_key(std::string_view text);
// The prefix is empty, or letters, digits, '-' and '_' that end with one of these two.
bool is_key_prefix(std::string_view prefix);
// The one text. Of ids and secrets of other lengths: "ID:SECRET".
std::string api_key_text(std::string_view prefix, const ApiKey& key);

}  // namespace thaw::codec
