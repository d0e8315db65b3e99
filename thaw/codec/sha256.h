// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 in pieces, as hex.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace thaw::codec {

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

}  // namespace thaw::codec
