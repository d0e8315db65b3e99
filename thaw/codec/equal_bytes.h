// SPDX-License-Identifier: Apache-2.0
//
// Comparing what strangers must not guess letter by letter.
#pragma once

#include <openssl/crypto.h>

#include <string_view>

namespace thaw::codec {

// The time tells nothing about the first wrong letter, only about lengths.
inline bool equal_bytes(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace thaw::codec
