// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/launch_outline.h"

#include <doctest/doctest.h>

using namespace thaw::control;

using Env = std::vector<std::string>;

TEST_CASE("of variables with one name the last counts, where it stands") {
  Env env = {"A=1", "B=2", "AB=3"};
  append_env(env, {"A=4", "C=5", "A=6"});
  CHECK(env == Env{"B=2", "AB=3", "C=5", "A=6"});
  append_env(env, {});
  CHECK(env == Env{"B=2", "AB=3", "C=5", "A=6"});
}

TEST_CASE("a word that is no variable takes nothing away from the others") {
  Env env = {"A=1", "odd", "=x"};
  append_env(env, {"odd", "B=2"});
  CHECK(env == Env{"A=1", "=x", "odd", "B=2"});
}

TEST_CASE("an environment of very many variables is put together at once") {
  Env env;
  Env more;
  for (int i = 0; i < 150'000; ++i) {
    env.push_back("A" + std::to_string(i) + "=");
    more.push_back("A" + std::to_string(i) + "=x");
  }
  // In squares of them it would take minutes.
  append_env(env, more);
  CHECK(env == more);
}
