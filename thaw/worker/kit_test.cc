// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/kit.h"

#include <doctest/doctest.h>

#include <string>

#include "thaw/worker/worker.h"

using namespace thaw::worker;

namespace {

Kit kit_of(std::string name) {
  Kit kit;
  kit.name = name;
  kit.shaping = {"RUNTIME_*", "SEED"};
  kit.renewal = Kit::Renewal{{{name + ".txt", "renews"}}, "LOADS", "/run/thaw/" + name, ":"};
  return kit;
}

}  // namespace

TEST_CASE("a kit is found by its name") {
  const Kits kits{{bare_kit(), kit_of("one")}};
  REQUIRE(kits.find("one") != nullptr);
  CHECK(kits.find("one")->renewal);
  REQUIRE(kits.find("bare") != nullptr);
  CHECK_FALSE(kits.find("bare")->fork);
  CHECK_FALSE(kits.find("bare")->renewal);
  CHECK(kits.find("two") == nullptr);
}

TEST_CASE("what every program reads shapes an interpreter of any kit, the rest those of its own") {
  for (const char* name : {"PATH", "LD_PRELOAD", "LANG", "LC_ALL", "TZ"}) {
    CAPTURE(name);
    CHECK(shapes(bare_kit(), name));
    CHECK(shapes(kit_of("one"), name));
  }
  for (const char* name : {"RUNTIME_FLAGS", "RUNTIME_", "SEED"}) {
    CAPTURE(name);
    CHECK(shapes(kit_of("one"), name));
    CHECK_FALSE(shapes(bare_kit(), name));
  }
  for (const char* name : {"API_KEY", "LANGUAGES", "MY_RUNTIME_FLAGS", "SEEDS", ""}) {
    CAPTURE(name);
    CHECK_FALSE(shapes(kit_of("one"), name));
  }
}

TEST_CASE("a program in an unknown language gets the renewals of all kits before its own values") {
  LaunchPlan plan;
  plan.env = {"PATH=/bin", "LOADS=mine", "OTHER=x"};
  Kit second = kit_of("two");
  second.renewal->variable = "ALSO_LOADS";
  add_renewals(Kits{{bare_kit(), kit_of("one"), second}}, plan);
  REQUIRE(plan.files.size() == 2);
  CHECK(plan.files[0].name == "one.txt");
  CHECK(plan.files[1].bytes == "renews");
  CHECK(plan.snapshot_env ==
        std::vector<std::string>{"LOADS=/run/thaw/one:mine", "ALSO_LOADS=/run/thaw/two"});
  CHECK(plan.env == std::vector<std::string>{"PATH=/bin", "LOADS=mine", "OTHER=x"});
}
