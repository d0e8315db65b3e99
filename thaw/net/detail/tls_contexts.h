// SPDX-License-Identifier: Apache-2.0
//
// What TlsIdentities are to the TLS library: one SSL_CTX for each certificate. Only the TLS files
// of net/ include this.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/net/tls.h"

namespace thaw::net {

template <auto Free>
struct OpenSslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using OpenSslPtr = std::unique_ptr<T, OpenSslFree<Free>>;

struct TlsIdentities::Contexts {
  struct One {
    OpenSslPtr<SSL_CTX, SSL_CTX_free> context;
    std::vector<std::string> names;  // lower case
    WallTime valid_until;
  };
  std::vector<One> all;  // at least one

  // What is shown to who asks for `name`, which may be empty.
  SSL_CTX* of(std::string_view name) const;
};

namespace detail {

// The library's reason for its last failure on this thread, and forgets it.
std::string openssl_reason();

}  // namespace detail

}  // namespace thaw::net
