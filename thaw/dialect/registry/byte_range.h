// SPDX-License-Identifier: Apache-2.0
//
// Ranges of bytes in headers: what part of a blob somebody wants, and which part of an upload
// somebody sends. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace thaw::dialect::registry {

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// What "Range: bytes=…" asks for of `size` bytes. whole: it asks for several, or is none, and is as
// if it were not there; none: there are no such bytes.
struct AskedRange {
  enum class What { whole, part, none } what = What::whole;
  ByteRange range = {};
};
AskedRange read_range(std::string_view header, std::uint64_t size);

// "0-1023", "bytes 0-1023/*": the first byte and the last one. nullopt: it is no such thing.
std::optional<ByteRange> read_content_range(std::string_view header);

}  // namespace thaw::dialect::registry
