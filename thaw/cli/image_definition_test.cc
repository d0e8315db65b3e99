// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/image_definition.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::cli;

namespace {

codec::Json defined(const std::string& image, const std::string& given = "") {
  PushOptions options;
  options.image = image;
  options.folder = given;
  auto read = image_definition(options);
  REQUIRE(read);
  return *read;
}

}  // namespace

TEST_CASE("an image is called as its path is, whatever its host, tag and digest are") {
  const std::string digest = "@sha256:" + std::string(64, 'a');
  for (const std::string& image :
       {std::string("127.0.0.1:8700/ada/llama-3.1"), std::string("r8.im/ada/llama-3.1:v1"),
        "localhost/ada/llama-3.1" + digest, std::string("ada/llama-3.1:2")}) {
    CAPTURE(image);
    const codec::Json json = defined(image);
    CHECK(json["image"] == image);
    CHECK(json["name"] == "llama-3-1");
    CHECK(json["model"] == codec::Json{{"name", "llama-3.1"}, {"owner", "ada"}});
    CHECK_FALSE(json.contains("aliases"));
    CHECK_FALSE(json.contains("dockerfile"));
    CHECK_FALSE(json.contains("files"));
    CHECK_FALSE(json.contains("preset"));
  }
  CHECK(defined("127.0.0.1:8700/a/b/c")["model"] == codec::Json{{"name", "c"}});
  CHECK(defined("debian:12")["name"] == "debian");
}

TEST_CASE("what was said of an image comes first, and what its name gives away is taken") {
  const codec::Json said = defined("r8.im/ada/x:1", "bob/y:best");
  CHECK(said["name"] == "y");
  CHECK(said["model"] == codec::Json{{"name", "y"}, {"owner", "bob"}});
  CHECK(said["aliases"] == codec::Json{{"best", 100}});
  CHECK(defined("vllm/vllm-openai:latest")["preset"] == "vllm");
  PushOptions options;
  options.image = "x";
  options.folder = "a";
  options.name = "b";
  CHECK_FALSE(image_definition(options));
  options = {};
  options.image = "x";
  options.snapshot = PushOptions::Snapshot::no;
  CHECK(image_definition(options)->at("snapshot") == "never");
}
