// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/image_push.h"

#include <doctest/doctest.h>

#include "thaw/codec/json.h"

using namespace thaw;
using namespace thaw::dialect::native;
using codec::Json;

namespace {

ImageFacts of_cog() {
  ImageFacts facts;
  facts.name = "r8.im/ada/loud";
  facts.port = 5001;
  CogLabels labels;
  labels.schema = "{}";
  labels.made_with = "0.23.1";
  labels.inputs = 4;
  labels.needs_gpu = true;
  facts.cog = std::optional(std::move(labels));
  return facts;
}

Json asked() { return {{"name", "loud"}, {"image", "r8.im/ada/loud"}}; }

Result<PushRequest> pushed(const Json& json, const ImageFacts& facts) {
  const std::string body = codec::dump_json(json);
  THAW_TRY(PushRequest read, read_push_request(body));
  return with_image(body, std::move(read), facts);
}

}  // namespace

TEST_CASE("what an image of Cog says holds where nothing was said") {
  const auto plain = pushed(asked(), of_cog());
  REQUIRE(plain);
  CHECK(plain->preset == "cog");
  CHECK(plain->contract.port == 5001);
  CHECK(plain->contract.ready.by == model::PushContract::Ready::By::field);
  CHECK(plain->scaling.max_concurrent_inputs == 4);
  CHECK(plain->resources.gpu == "any");
  CHECK(plain->snapshot_at == model::SnapshotAt::ready);
  CHECK(plain->env.empty());
  REQUIRE(plain->model);
  CHECK(plain->model->name == "loud");
  CHECK(plain->model->schema == "{}");
  CHECK(plain->model->made_with == "0.23.1");

  Json said = asked();
  said["port"] = 80;
  said["concurrency"] = 2;
  said["gpu"] = "T4";
  said["snapshot"] = "never";
  said["model"] = {{"owner", "bob"}, {"name", "quiet"}, {"visibility", "public"}};
  const auto read = pushed(said, of_cog());
  REQUIRE(read);
  CHECK(read->contract.port == 80);
  CHECK(read->scaling.max_concurrent_inputs == 2);
  CHECK(read->env == std::map<std::string, std::string>{{"COG_MAX_CONCURRENCY", "2"}});
  CHECK(read->resources.gpu == "T4");
  CHECK(read->snapshot_at == model::SnapshotAt::never);
  CHECK(read->model->owner == "bob");
  CHECK(read->model->name == "quiet");
}

TEST_CASE("an image without labels, or one that is said to be something else, is a function") {
  ImageFacts other;
  other.name = "r8.im/ada/loud";
  other.port = 8099;
  Json json = asked();
  json["model"] = {{"name", "loud"}};
  auto read = pushed(json, other);
  REQUIRE(read);
  CHECK_FALSE(read->model);
  CHECK(read->preset == "plain");
  CHECK(read->contract.port == 8099);
  CHECK(read->snapshot_at == model::SnapshotAt::never);

  json["preset"] = "plain";
  read = pushed(json, of_cog());
  REQUIRE(read);
  CHECK_FALSE(read->model);
  CHECK(read->scaling.max_concurrent_inputs == 1);

  json["model"]["description"] = "x";
  CHECK_FALSE(pushed(json, of_cog()));

  ImageFacts broken = of_cog();
  broken.cog = Error::invalid_argument("its label x is no JSON object");
  CHECK(pushed(asked(), broken).error().message().find("its label x") != std::string::npos);
  json["model"].erase("description");
  CHECK(pushed(json, broken));
}

TEST_CASE("an image stands without what is built, and is a name of one") {
  for (const auto& [field, value] :
       {std::pair<const char*, Json>{"dockerfile", {"FROM x"}},
        {"files", Json::array({{{"path", "/a"}, {"sha256", std::string(64, 'a')}}})},
        {"build_args", {{"A", "b"}}}}) {
    Json json = asked();
    json[field] = value;
    const auto read = read_push_request(codec::dump_json(json));
    REQUIRE_FALSE(read);
    CHECK(read.error().message().find("image: nothing is built") != std::string::npos);
  }
  for (const char* name : {"a b", "x\nRUN y", "$X", "A/B", "../x"}) {
    Json json = asked();
    json["image"] = name;
    CHECK_FALSE(read_push_request(codec::dump_json(json)));
  }
}
