// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/answers.h"

#include <doctest/doctest.h>

#include <string>

using namespace thaw;
using namespace thaw::dialect::replicate;
using codec::Json;

TEST_CASE("a page ends where its items are large, and has one at least") {
  PageItems items(1'000);
  CHECK(items.add({{"output", std::string(2'000, 'x')}}));
  CHECK_FALSE(items.add({{"output", "small"}}));
  const auto page = codec::parse_json(items.page(Json(), "http://a/b?cursor=1"));
  REQUIRE(page);
  CHECK((*page)["results"].size() == 1);
  CHECK((*page)["previous"].is_null());
  CHECK((*page)["next"] == "http://a/b?cursor=1");
}

TEST_CASE("small items share a page") {
  PageItems items(1'000);
  int taken = 0;
  while (items.add({{"number", taken}})) {
    ++taken;
  }
  CHECK(taken > 50);
  const std::string text = items.page(Json(), Json());
  CHECK(text.size() < 1'100);
  const auto page = codec::parse_json(text);
  REQUIRE(page);
  CHECK((*page)["results"].size() == static_cast<std::size_t>(taken));
  CHECK((*page)["results"].back()["number"] == taken - 1);
  CHECK(codec::parse_json(PageItems().page(Json(), Json()))->at("results").empty());
}
