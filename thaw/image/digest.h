// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 in pieces, and the keys made from it. A key is the first 160 bits in hex: short enough
// for sixty layer folders in one page of mount options, long enough never to collide.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace thaw::image {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  std::string hex();  // ends the digest

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Fields are framed by their lengths, so that "ab","c" and "a","bc" give different keys.
class KeyMaker {
 public:
  explicit KeyMaker(std::string_view kind) { add(kind); }
  KeyMaker& add(std::string_view field);
  std::string key() { return digest_.hex().substr(0, 40); }

 private:
  Sha256 digest_;
};

}  // namespace thaw::image
