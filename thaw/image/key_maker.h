// SPDX-License-Identifier: Apache-2.0
//
// Keys of what is made once and found again. A key is the first 160 bits of a SHA-256 in hex: short
// enough for sixty layer folders in one page of mount options, long enough never to collide.
#pragma once

#include <string>
#include <string_view>

#include "thaw/codec/sha256.h"

namespace thaw::image {

// Fields are framed by their lengths, so that "ab","c" and "a","bc" give different keys.
class KeyMaker {
 public:
  explicit KeyMaker(std::string_view kind) { add(kind); }
  KeyMaker& add(std::string_view field) {
    digest_.update(std::to_string(field.size()));
    digest_.update(":");
    digest_.update(field);
    return *this;
  }
  std::string key() { return digest_.hex().substr(0, 40); }

 private:
  codec::Sha256 digest_;
};

}  // namespace thaw::image
