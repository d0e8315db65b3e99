// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/digest.h"

#include "thaw/base/check.h"

namespace thaw::store::detail {

Digest::Digest(Kind kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  const EVP_MD* algorithm = kind == Kind::sha256 ? EVP_sha256() : EVP_md5();
  THAW_CHECK(EVP_DigestInit_ex(context_.get(), algorithm, nullptr) == 1);
}

void Digest::update(std::string_view bytes) {
  THAW_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Digest::finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  THAW_CHECK(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
  std::string hex;
  hex.reserve(std::size_t{2} * size);
  for (unsigned int i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

}  // namespace thaw::store::detail
