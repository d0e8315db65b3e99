// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/pushed_model.h"

#include <doctest/doctest.h>

#include "thaw/catalog/model_cards.h"
#include "thaw/dialect/native/push_request.h"

using namespace thaw;
using namespace thaw::dialect::native;
using codec::Json;
using Visibility = model::ModelCard::Visibility;

namespace {

Json told() { return {{"name", "llama-3.1"}, {"schema_path", "/src/.schema.json"}}; }

std::string refusal(const Json& json) {
  const auto read = read_pushed_model(json);
  return read ? "taken" : read.error().message();
}

}  // namespace

TEST_CASE("a model is a name and where its schema lies; the rest may be left out") {
  const auto plain = read_pushed_model(told());
  REQUIRE(plain);
  CHECK(plain->owner.empty());
  CHECK(plain->name == "llama-3.1");
  CHECK_FALSE(plain->description);
  CHECK_FALSE(plain->visibility);
  CHECK_FALSE(plain->trains);
  Json all = told();
  all["owner"] = "meta";
  all["description"] = "";
  all["visibility"] = "public";
  all["trains"] = true;
  const auto full = read_pushed_model(all);
  REQUIRE(full);
  CHECK(full->owner == "meta");
  CHECK(full->description == "");
  CHECK(full->visibility == Visibility::everybody);
  CHECK(full->trains);
}

TEST_CASE("a model is refused by the field that is wrong") {
  const auto refused = [](const char* field, const Json& value, const char* words) {
    Json json = told();
    json[field] = value;
    CAPTURE(json.dump());
    CHECK(refusal(json).find(words) != std::string::npos);
  };
  refused("name", "", "model: name: ");
  refused("name", "a/b", "model: name: ");
  refused("name", 3, "model: ");
  refused("owner", "..", "model: owner: ");
  refused("description", std::string(5'000, 'x'), "model: description: ");
  refused("visibility", "secret", "model: visibility: ");
  refused("schema_path", "src/schema.json", "model: schema_path");
  refused("schema_path", "/src/../../etc/shadow", "model: schema_path");
  refused("schema_path", std::string("/a\0b", 4), "model: schema_path");
  refused("schema_path", "", "model: schema_path");
}

TEST_CASE("what a version keeps is read again behind the card of a model") {
  const std::string own = write_definition({"cog", true, {{"A", "b"}}, "/x"});
  model::ModelCard card;
  card.owner = "ada";
  card.name = "hello";
  card.id = std::string(64, '1');
  for (const std::string& stored : {own, catalog::with_model_card(card, own)}) {
    const auto read = read_definition(stored);
    REQUIRE(read);
    CHECK(read->preset == "cog");
    CHECK(read->for_tokens);
    CHECK(read->env.at("A") == "b");
  }
}
