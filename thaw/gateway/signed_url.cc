// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/signed_url.h"

#include <openssl/crypto.h>

#include <charconv>

#include "thaw/codec/encoding.h"

namespace thaw::gateway {

namespace {

constexpr std::string_view signature_mark = "&sig=";

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch()).count();
}

}  // namespace

std::string SignedUrls::signature_of(std::string_view said) const {
  return box_.sign(purpose_, std::string(said));
}

std::string SignedUrls::sign(const std::string& target) const {
  const std::int64_t until =
      unix_now() + std::chrono::duration_cast<std::chrono::seconds>(lifetime_).count();
  const std::string said = target + "&until=" + std::to_string(until);
  return said + std::string(signature_mark) + signature_of(said);
}

bool SignedUrls::is_genuine(std::string_view target) const {
  const std::size_t at = target.rfind(signature_mark);
  if (at == std::string_view::npos) {
    return false;
  }
  const std::string_view given = target.substr(at + signature_mark.size());
  const std::string expected = signature_of(target.substr(0, at));
  return given.size() == expected.size() &&
         CRYPTO_memcmp(given.data(), expected.data(), expected.size()) == 0;
}

bool SignedUrls::has_expired(std::string_view target) {
  const std::size_t query = target.find('?');
  const std::string text = codec::query_value(
      query == std::string_view::npos ? std::string_view() : target.substr(query + 1), "until");
  std::int64_t until = 0;
  std::from_chars(text.data(), text.data() + text.size(), until);
  return until < unix_now();
}

}  // namespace thaw::gateway
