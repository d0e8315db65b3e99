// SPDX-License-Identifier: Apache-2.0
//
// YAML as people write it into small files: libyaml's reader, and a tree that is bounded before it
// is built. Nothing is repeated by a name (aliases are refused), no key is there twice, a file is
// one document; a plain value stays the text that it is, so that 3.10 is no number. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::codec {

struct YamlNode {
  enum class Kind { empty, text, list, map } kind = Kind::empty;
  int line = 1;
  std::string text;
  enum class Written { plain, quoted } written = Written::plain;  // true is a flag, "true" a text
  std::string key = {};                                           // of what is in a map
  std::vector<YamlNode> items = {};  // of a list or a map, in the order in which they are written

  // nullptr: it is no map, or has no such key.
  const YamlNode* find(std::string_view name) const;
};

struct YamlLimits {
  std::size_t bytes = 256u << 10;
  std::size_t depth = 32;
  std::size_t nodes = 20'000;
};

// An empty text is an empty node. invalid_argument names the line, resource_exhausted the limit.
Result<YamlNode> parse_yaml(std::string_view text, const YamlLimits& limits = {});

}  // namespace thaw::codec
