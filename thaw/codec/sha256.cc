// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/sha256.h"

#include <openssl/evp.h>

#include "thaw/base/check.h"
#include "thaw/codec/encoding.h"

namespace thaw::codec {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  THAW_CHECK(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  THAW_CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  THAW_CHECK(EVP_DigestFinal_ex(context_->md, raw, &size) == 1);
  return hex_encode({reinterpret_cast<const char*>(raw), size});
}

}  // namespace thaw::codec
