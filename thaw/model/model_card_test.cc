// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/model_card.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::model;

namespace {

ModelCard card() {
  ModelCard card;
  card.owner = "meta";
  card.name = "llama-3.1_8b";
  card.id = std::string(64, 'a');
  return card;
}

}  // namespace

TEST_CASE("a card is refused by the field that is wrong") {
  CHECK(check(card()));
  const auto refused = [](auto&& change) {
    ModelCard one = card();
    change(one);
    const auto checked = check(one);
    return checked ? std::string() : checked.error().message();
  };
  for (const char* word : {"", "-a", "a-", "a/b", "a b", "..", "a\n", "ä"}) {
    CAPTURE(word);
    CHECK(refused([&](ModelCard& one) { one.owner = word; }).starts_with("owner: "));
    CHECK(refused([&](ModelCard& one) { one.name = word; }).starts_with("name: "));
  }
  CHECK(refused([](ModelCard& one) { one.name = std::string(64, 'a'); }).starts_with("name: "));
  CHECK(refused([](ModelCard& one) { one.id = "latest"; }).starts_with("id: "));
  CHECK(refused([](ModelCard& one) { one.id[0] = 'A'; }).starts_with("id: "));
  CHECK(refused([](ModelCard& one) {
          one.description.assign(4'097, 'x');
        }).starts_with("description: "));
  CHECK(refused([](ModelCard& one) {
          one.schema.assign(largest_model_schema + 1, 'x');
        }).starts_with("schema: "));
  CHECK(refused([](ModelCard& one) { one.made_with.assign(64, '1'); }).starts_with("made_with: "));
  CHECK(refused([](ModelCard& one) { one.inputs = 0; }).starts_with("inputs: "));
}

TEST_CASE("a model's function has a name that can be a part of a host name") {
  CHECK(model_function("meta", "Llama-3.1_405b", "ada") == "meta-llama-3-1-405b");
  CHECK(model_function("ada", "hello", "ada") == "hello");
  CHECK(model_function("a--b", "c..d", "ada") == "a-b-c-d");
}
