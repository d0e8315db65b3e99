// SPDX-License-Identifier: Apache-2.0
//
// BucketPlan: a bucket that a container is to find as a folder, with the credentials for it. Where
// its endpoint is, and whether it may be reached, its worker finds out.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/worker/bind.h"

namespace thaw::worker {

struct BucketPlan {
  std::string bucket;
  std::string scheme;  // "http" or "https"
  std::string host;
  std::uint16_t port = 0;
  std::string region;
  std::string prefix;  // empty, or with its last "/"
  std::string target;  // inside, absolute
  Bind::Access access = Bind::Access::read_only;
  bool requester_pays = false;
  std::string access_key_id;  // empty: requests are not signed
  std::string secret_access_key;
  std::string session_token;  // empty: none

  std::string origin() const { return scheme + "://" + host + ":" + std::to_string(port); }
};

}  // namespace thaw::worker
