// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/utf8.h"

#include <algorithm>

namespace thaw::codec {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

bool in(unsigned char byte, unsigned low, unsigned high) { return byte >= low && byte <= high; }

struct Character {
  std::size_t size;  // bytes that belong together
  bool good;
};

// The character, or the beginning of one, at the start of `text`, which is not empty.
Character first_character(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    return {1, true};
  }
  const std::size_t size = in(first, 0xc2, 0xdf)   ? 2
                           : in(first, 0xe0, 0xef) ? 3
                           : in(first, 0xf0, 0xf4) ? 4
                                                   : 0;
  if (size == 0) {
    return {1, false};
  }
  // Some first bytes narrow the second: no overlong forms, no surrogates, nothing past U+10FFFF.
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (first == 0xe0) {
    low = 0xa0;
  } else if (first == 0xed) {
    high = 0x9f;
  } else if (first == 0xf0) {
    low = 0x90;
  } else if (first == 0xf4) {
    high = 0x8f;
  }
  for (std::size_t i = 1; i < size; ++i) {
    if (i >= text.size() || !in(byte(i), low, high)) {
      return {i, false};
    }
    low = 0x80;
    high = 0xbf;
  }
  return {size, true};
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

std::string valid_utf8(std::string text) {
  if (is_ascii(text)) {
    return text;
  }
  std::string clean;
  clean.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const Character character = first_character(rest);
    clean.append(character.good ? rest.substr(0, character.size) : replacement);
    rest.remove_prefix(character.size);
  }
  return clean;
}

std::size_t cut_utf8(std::string_view text, std::size_t most) {
  if (text.size() <= most) {
    return text.size();
  }
  // Back over the bytes that continue a character; no character has more than three of them.
  std::size_t cut = most;
  for (int i = 0; i < 3 && cut > 0 && in(static_cast<unsigned char>(text[cut]), 0x80, 0xbf); ++i) {
    --cut;
  }
  return cut == 0 || in(static_cast<unsigned char>(text[cut]), 0x80, 0xbf) ? most : cut;
}

std::size_t unfinished_utf8(std::string_view text) {
  for (std::size_t size = 1; size <= std::min<std::size_t>(3, text.size()); ++size) {
    const std::string_view end = text.substr(text.size() - size);
    const bool is_first = in(static_cast<unsigned char>(end[0]), 0xc2, 0xf4);
    const Character character = first_character(end);
    if (is_first) {
      return !character.good && character.size == size ? size : 0;
    }
  }
  return 0;
}

}  // namespace thaw::codec
