// SPDX-License-Identifier: Apache-2.0
//
// A text of YAML, and the pointer to a field of it as JSON, with a NUL between them. A tree has no
// more in it than its limits allow, keys are there once, and reading is quick for any input.
#include "thaw/codec/yaml.h"

#include <set>

#include "tests/fuzz/target.h"
#include "thaw/codec/json.h"
#include "thaw/codec/json_field.h"

namespace thaw::fuzz {

namespace {

constexpr codec::YamlLimits limits{.bytes = most_input_bytes, .depth = 16, .nodes = 500};

std::size_t check(const codec::YamlNode& node, std::size_t depth) {
  using Kind = codec::YamlNode::Kind;
  expect(depth <= limits.depth, "no deeper than the limit");
  expect(node.items.empty() || node.kind == Kind::list || node.kind == Kind::map,
         "only lists and maps have items");
  expect(node.kind == Kind::text || node.text.empty(), "only texts have a text");
  std::size_t nodes = 1;
  std::set<std::string> keys;
  for (const codec::YamlNode& item : node.items) {
    if (node.kind == Kind::map) {
      expect(keys.insert(item.key).second, "a key is there once");
      expect(node.find(item.key) == &item, "and found by its name");
    }
    nodes += check(item, depth + 1);
  }
  return nodes;
}

void check_field(std::string_view text, std::string_view pointer) {
  const auto found = codec::find_json_field(text, pointer);
  if (!found) {
    expect_sentence(found.error());
  }
  const auto again = codec::find_json_field(std::string(text) + " ", pointer);
  expect(!found || (again && *again == *found), "what is found does not hang on what follows");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  const std::string_view text = bytes.line();
  const auto read = codec::parse_yaml(text, limits);
  if (read) {
    expect(check(*read, 1) <= limits.nodes + 1, "no more values than the limit");
  } else {
    expect_sentence(read.error());
  }
  const std::string pointer(bytes.rest().substr(0, 100));
  if (pointer.empty() || pointer.front() == '/') {
    check_field(text, pointer);
  }
}

}  // namespace thaw::fuzz
