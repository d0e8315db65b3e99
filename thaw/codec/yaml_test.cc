// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/yaml.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::codec;

namespace {

YamlNode read(std::string_view text) {
  const auto read = parse_yaml(text);
  REQUIRE_MESSAGE(read, (read ? std::string() : read.error().to_string()));
  return *read;
}

std::string refusal(std::string_view text, const YamlLimits& limits = {}) {
  const auto read = parse_yaml(text, limits);
  return read ? "taken" : read.error().message();
}

}  // namespace

TEST_CASE("a file of YAML is a tree whose values are the texts that were written, with lines") {
  const YamlNode root = read(
      "# a comment\n"
      "build:\n"
      "  python_version: 3.10\n"
      "  gpu: true\n"
      "  quoted: \"true\"\n"
      "  nothing:\n"
      "  list: [a, 'b c', ~]\n"
      "text: |\n"
      "  two\n"
      "  lines\n");
  REQUIRE(root.kind == YamlNode::Kind::map);
  const YamlNode* build = root.find("build");
  REQUIRE(build != nullptr);
  CHECK(build->find("python_version")->text == "3.10");
  CHECK(build->find("python_version")->line == 3);
  CHECK(build->find("gpu")->written == YamlNode::Written::plain);
  CHECK(build->find("quoted")->written == YamlNode::Written::quoted);
  CHECK(build->find("nothing")->kind == YamlNode::Kind::empty);
  const YamlNode* list = build->find("list");
  REQUIRE(list->items.size() == 3);
  CHECK(list->items[1].text == "b c");
  CHECK(list->items[2].kind == YamlNode::Kind::empty);
  CHECK(root.find("text")->text == "two\nlines\n");
  CHECK(root.find("other") == nullptr);
  CHECK(list->find("other") == nullptr);
}

TEST_CASE("nothing at all is an empty node") {
  CHECK(read("").kind == YamlNode::Kind::empty);
  CHECK(read("# only this\n---\n").kind == YamlNode::Kind::empty);
}

TEST_CASE("what cannot be meant is refused with its line") {
  CHECK(refusal("a: 1\nb: [1, 2\n").starts_with("line "));
  CHECK(refusal("a: 1\n\tb: 2\n").starts_with("line 2: "));
  CHECK(refusal("a: 1\nb: 2\na: 3\n") == "line 3: 'a' is there twice");
  CHECK(refusal("a: 1\n---\nb: 2\n") == "line 2: a second document begins; there is to be one");
  CHECK(refusal("? [a]\n: 1\n") == "line 1: a key is to be a text");
  CHECK(refusal("a: \xff\xfe\n") != "taken");
}

TEST_CASE("names that would repeat what is large are refused where the first one is") {
  CHECK(refusal("a: &a [x, x]\nb: *a\n") == "line 2: aliases (*name) are not read; write it out");
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + ", " + before +
            ", " + before + "]\n";
  }
  CHECK(refusal(bomb).starts_with("line 2: aliases"));
}

TEST_CASE("size, depth and number are bounded before the tree is there") {
  CHECK(refusal(std::string(10u << 20, '#')) == "more than 256 KiB of YAML");
  CHECK(refusal(std::string(200'000, '[')).find("more than 32 levels") != std::string::npos);
  CHECK(refusal(std::string(200'000, '{')) != "taken");
  CHECK(refusal("[a, b, c, d]", {.nodes = 3}).find("more than 3 values") != std::string::npos);
  std::string deep;
  for (int i = 0; i < 40; ++i) {
    deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  }
  CHECK(refusal(deep).find("more than 32 levels") != std::string::npos);
}
