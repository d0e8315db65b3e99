// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/ids.h"

#include <openssl/rand.h>

#include "thaw/base/check.h"

namespace thaw::codec {

namespace {

constexpr std::string_view base62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view upper36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view lower36 = "0123456789abcdefghijklmnopqrstuvwxyz";

std::string random_letters(std::string_view alphabet, std::size_t count) {
  std::string text;
  while (text.size() < count) {
    unsigned char bytes[64];
    THAW_CHECK(RAND_bytes(bytes, sizeof bytes) == 1);
    for (const unsigned char byte : bytes) {
      // Rejection keeps every letter equally likely.
      const std::size_t limit = 256 - 256 % alphabet.size();
      if (byte < limit && text.size() < count) {
        text += alphabet[byte % alphabet.size()];
      }
    }
  }
  return text;
}

}  // namespace

std::string random_id(std::string_view prefix) {
  return std::string(prefix) + "-" + random_letters(base62, 22);
}

std::string random_container_id() {
  std::string text = "ta-" + random_letters(upper36, 26);
  if (text.back() == 'V') {
    text.back() = '0';
  }
  return text;
}

std::string random_lower(int count) {
  return random_letters(lower36, static_cast<std::size_t>(count));
}

bool has_id_shape(std::string_view text, std::string_view prefix) {
  if (text.size() <= prefix.size() + 1 || text.size() > prefix.size() + 65 ||
      !text.starts_with(prefix) || text[prefix.size()] != '-') {
    return false;
  }
  return text.find_first_not_of(base62, prefix.size() + 1) == std::string_view::npos;
}

}  // namespace thaw::codec
