// SPDX-License-Identifier: Apache-2.0
//
// SecretBox: secrets at rest, AES-256-GCM with the key in DATA/secret.key (0600, made at first
// start). The context (such as the secret's id) is authenticated, so a sealed value cannot be moved
// to another row. Any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::store {

class SecretBox {
 public:
  // permission_denied if the file can be read by others.
  static Result<SecretBox> open(const std::string& key_file);
  Result<std::string> seal(std::string_view plain, std::string_view context) const;
  // data_loss if the value or its context was changed, or the key is another one.
  Result<std::string> unseal(std::string_view sealed, std::string_view context) const;
  // HMAC-SHA256 in hex, under a key derived for `purpose`: signs blob URLs and the like.
  std::string sign(std::string_view purpose, std::string_view text) const;

 private:
  std::array<unsigned char, 32> key_{};
};

// Bytes from the kernel's generator.
std::string random_bytes(std::size_t count);

}  // namespace thaw::store
