// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/cog_labels.h"

#include <doctest/doctest.h>

#include "thaw/model/model_card.h"

using namespace thaw;
using namespace thaw::dialect::native;

namespace {

using Labels = std::map<std::string, std::string>;

const std::string schema = R"({"openapi":"3.0.2","components":{"schemas":{}}})";

std::string refusal(const Labels& labels) {
  const auto read = read_cog_labels(labels, {});
  return read ? "none" : read.error().message();
}

}  // namespace

TEST_CASE("labels of Cog are known by either of their names, and those of others are none") {
  for (const std::string space : {"run.cog.", "org.cogmodel."}) {
    const auto read = read_cog_labels(
        {{space + "openapi_schema", schema},
         {space + "config", R"({"build":{"gpu":true},"concurrency":{"max":4},"train":"t.py:t"})"},
         {space + (space == "run.cog." ? "version" : "cog_version"), "0.23.1"}},
        {});
    REQUIRE(read);
    REQUIRE(*read);
    CHECK((*read)->schema == schema);
    CHECK((*read)->made_with == "0.23.1");
    CHECK((*read)->inputs == 4);
    CHECK((*read)->needs_gpu);
    CHECK((*read)->trains);
  }
  const auto other = read_cog_labels({{"maintainer", "ada"}, {"run.cog.weights", "x"}}, {});
  REQUIRE(other);
  CHECK_FALSE(*other);
}

TEST_CASE("a label that cannot be is refused by its name") {
  CHECK(refusal({{"run.cog.openapi_schema", "{"}}).find("run.cog.openapi_schema is no JSON") !=
        std::string::npos);
  CHECK(refusal({{"run.cog.openapi_schema", "[]"}}).find("no JSON object") != std::string::npos);
  CHECK(refusal({{"org.cogmodel.config", "3"}}).find("org.cogmodel.config") != std::string::npos);
  const std::string large = "{\"a\":\"" + std::string(model::largest_model_schema, 'x') + "\"}";
  CHECK(refusal({{"run.cog.openapi_schema", large}}).find("more than 512 KiB") !=
        std::string::npos);
  std::string deep;
  for (int i = 0; i < 100'000; ++i) {
    deep += "{\"a\":";
  }
  CHECK(refusal({{"run.cog.config", deep.substr(0, 200'000)}}) != "none");
}

TEST_CASE("how many it takes at once is what its server is told, within sense") {
  const Labels labels = {{"run.cog.version", "0.23.1"},
                         {"run.cog.config", R"({"concurrency":{"max":4}})"}};
  const auto inputs = [&](const std::vector<std::string>& env) {
    return read_cog_labels(labels, env).value().value().inputs;
  };
  CHECK(inputs({}) == 4);
  CHECK(inputs({"COG_MAX_CONCURRENCY=2", "A=b"}) == 2);
  for (const char* odd : {"COG_MAX_CONCURRENCY=", "COG_MAX_CONCURRENCY=-1",
                          "COG_MAX_CONCURRENCY=99999999999999", "COG_MAX_CONCURRENCY=2x"}) {
    CHECK(inputs({odd}) == 4);
  }
  const auto odd = read_cog_labels(
      {{"run.cog.config", R"({"build":[],"concurrency":{"max":-2},"train":{}})"}}, {});
  REQUIRE(odd);
  CHECK((*odd)->inputs == 1);
  CHECK_FALSE((*odd)->trains);
}
