// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/alias.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::model;

TEST_CASE("the name of an alias can be a part of an address, and is no version's") {
  for (const char* name : {"live", "a", "2", "canary-2", "x--y"}) {
    CHECK_MESSAGE(check_alias_name(name), name);
  }
  for (const std::string& name :
       {std::string(), std::string("-a"), std::string("a-"), std::string("A"), std::string("a.b"),
        std::string("a/b"), std::string("a@b"), std::string("de-1"), std::string(64, 'a'),
        std::string("a\0b", 3)}) {
    CHECK_MESSAGE(!check_alias_name(name), name);
  }
}

TEST_CASE("an alias has versions, each once, with weights in their range") {
  const auto is_fine = [](std::vector<WeightedVersion> versions) {
    return check(Alias{{}, FunctionId("fu-1"), {}, "a", std::move(versions)}).has_value();
  };
  CHECK(is_fine({{"de-1", 1}}));
  CHECK(is_fine({{"de-1", largest_weight}, {"de-2", 1}}));
  CHECK_FALSE(is_fine({}));
  CHECK_FALSE(is_fine({{"de-1", 0}}));
  CHECK_FALSE(is_fine({{"de-1", largest_weight + 1}}));
  CHECK_FALSE(is_fine({{"de-1", 1}, {"de-1", 1}}));
  CHECK_FALSE(is_fine({{"", 1}}));
  std::vector<WeightedVersion> many;
  for (std::size_t i = 0; i <= most_versions_of_an_alias; ++i) {
    many.push_back({"de-" + std::to_string(i), 1});
  }
  CHECK_FALSE(is_fine(many));
}
