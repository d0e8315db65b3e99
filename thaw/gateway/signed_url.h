// SPDX-License-Identifier: Apache-2.0
//
// Signed addresses: whoever holds one may do what it says until its time, without credentials. What
// it says is its own path and query, so that nothing of it can be changed. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "thaw/base/time.h"
#include "thaw/gateway/base_url.h"
#include "thaw/store/secret_box.h"

namespace thaw::gateway {

class SignedUrls {
 public:
  // `purpose`: what the addresses are for; those of another purpose are not genuine. `box` outlives
  // this.
  SignedUrls(const store::SecretBox& box, std::string purpose, Duration lifetime)
      : box_(box), purpose_(std::move(purpose)), lifetime_(lifetime) {}

  // `base` + `target` ("/blobs/1?op=get"; its values need no escapes) and what proves
  // it, valid from now on for the lifetime.
  std::string make(const BaseUrl& base, const std::string& target) const {
    return base + sign(target);
  }
  // The same without what it begins with.
  std::string sign(const std::string& target) const;

  // Whether this server has made the address with that path and query, however long ago.
  bool is_genuine(std::string_view target) const;
  // Of a genuine one.
  static bool has_expired(std::string_view target);

 private:
  std::string signature_of(std::string_view said) const;

  const store::SecretBox& box_;
  std::string purpose_;
  Duration lifetime_;
};

}  // namespace thaw::gateway
