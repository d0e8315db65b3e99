// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/signed_words.h"

#include "thaw/codec/encoding.h"
#include "thaw/codec/equal_bytes.h"

namespace thaw::dialect::modal {

namespace {

std::string signature_of(const Context& cx, const char* purpose, std::string_view words) {
  return codec::base64url_encode(cx.parts.secrets.sign(purpose, words));
}

}  // namespace

std::string sign_words(const Context& cx, const char* purpose, const std::string& words) {
  return words + "." + signature_of(cx, purpose, words);
}

std::optional<std::string_view> genuine_words(const Context& cx, const char* purpose,
                                              std::string_view signed_words) {
  const std::size_t dot = signed_words.rfind('.');
  if (dot == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view words = signed_words.substr(0, dot);
  return codec::equal_bytes(signed_words.substr(dot + 1), signature_of(cx, purpose, words))
             ? std::optional(words)
             : std::nullopt;
}

}  // namespace thaw::dialect::modal
