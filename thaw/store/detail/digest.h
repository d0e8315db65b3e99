// SPDX-License-Identifier: Apache-2.0
//
// Digest: SHA-256, and MD5 where an ETag is wanted, of bytes that come in pieces. A value with
// one owner; any one thread at a time.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

namespace thaw::store::detail {

class Digest {
 public:
  enum class Kind { sha256, md5 };
  explicit Digest(Kind kind);
  void update(std::string_view bytes);
  // Lower-case hex; the last call.
  std::string finish();

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace thaw::store::detail
