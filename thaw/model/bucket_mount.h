// SPDX-License-Identifier: Apache-2.0
//
// A bucket of an object store that speaks S3's protocol, as a folder of a container. Its
// credentials are a secret's, by the names that programs for such stores read; or nobody's, of a
// bucket that is everybody's. Plain values.
#pragma once

#include <string>

#include "thaw/model/ids.h"

namespace thaw::model {

struct BucketMount {
  std::string bucket;
  std::string endpoint;  // "https://HOST:PORT"; empty: that of the credentials' region
  std::string prefix;    // of all keys that are there, with its last "/"; empty: none
  std::string path;      // inside, absolute
  SecretId secret;       // empty: none
  enum class Access { read_write, read_only } access = Access::read_write;
  enum class Payer { owner, requester } payer = Payer::owner;
};

}  // namespace thaw::model
