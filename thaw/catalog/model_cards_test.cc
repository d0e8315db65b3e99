// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/model_cards.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::catalog;

namespace {

model::ModelCard card() {
  model::ModelCard card;
  card.owner = "meta";
  card.name = "llama";
  card.id = std::string(64, 'a');
  card.description = "says \"hello\"\nin two lines";
  card.visibility = model::ModelCard::Visibility::everybody;
  card.schema = R"({"paths": {}})";
  card.streams = true;
  card.trains = true;
  card.made_with = "0.23.1";
  card.inputs = 7;
  return card;
}

}  // namespace

TEST_CASE("a card and the dialect's own bytes are told apart again") {
  const std::string own("{\"preset\": \"x\"}\n\x1fmodel-card\n", 28);
  const std::string stored = with_model_card(card(), own);
  CHECK(own_definition(stored) == own);
  const auto read = model_card_of(stored);
  REQUIRE(read);
  REQUIRE(read->has_value());
  const model::ModelCard& one = **read;
  CHECK(one.owner == "meta");
  CHECK(one.name == "llama");
  CHECK(one.id == card().id);
  CHECK(one.description == card().description);
  CHECK(one.visibility == model::ModelCard::Visibility::everybody);
  CHECK(one.schema == card().schema);
  CHECK(one.streams);
  CHECK(one.trains);
  CHECK(one.made_with == "0.23.1");
  CHECK(one.inputs == 7);
}

TEST_CASE("a definition without a card is all the dialect's own") {
  for (const std::string own : {"", "{}", "\x1f", "\x0a\x05hello"}) {
    CHECK(own_definition(own) == own);
    const auto read = model_card_of(own);
    REQUIRE(read);
    CHECK_FALSE(read->has_value());
  }
}

TEST_CASE("a damaged card is data loss, and gives the dialect nothing that is not its own") {
  const std::string stored = with_model_card(card(), "own");
  for (std::size_t size = 12; size < stored.size() - 3; ++size) {
    const std::string cut = stored.substr(0, size);
    const auto read = model_card_of(cut);
    CHECK_FALSE(read);
    CHECK(own_definition(cut).empty());
  }
  const auto strange = model_card_of("\x1fmodel-card\n{\"owner\": \"../..\"}\n");
  REQUIRE_FALSE(strange);
  CHECK(strange.error().code() == Code::data_loss);
}
