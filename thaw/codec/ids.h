// SPDX-License-Identifier: Apache-2.0
//
// Names in the shapes that clients check, random but for derived_id(): one dash, "ap-" + 22 letters
// of base 62; a container's "ta-" + 26 of [0-9A-Z] that does not end in V (which clients read as
// another kind).
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace thaw::codec {

// `prefix` + "-" + 22 random base-62 letters (131 bits).
std::string random_id(std::string_view prefix);
// The same shape from the first 22 bytes of a digest: the same name for the same thing. It is as
// hard to guess as the digest.
std::string derived_id(std::string_view prefix, std::string_view digest);
std::string random_container_id();
// `count` random letters of [0-9a-z].
std::string random_lower(int count);

// For simulations, which are to be repeated exactly: while it lives, this thread's ids are made of
// these bytes.
class IdsFrom {
 public:
  explicit IdsFrom(std::function<unsigned char()> bytes);
  ~IdsFrom();
  IdsFrom(const IdsFrom&) = delete;
  IdsFrom& operator=(const IdsFrom&) = delete;

 private:
  std::function<unsigned char()> bytes_;
};

// True for prefix-XXXX with 1 to 64 letters of base 62 behind the only dash.
bool has_id_shape(std::string_view text, std::string_view prefix);

}  // namespace thaw::codec
