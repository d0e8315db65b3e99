// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/model_aliases.h"

#include <doctest/doctest.h>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

const model::WorkspaceId ada("ac-1");
const model::WorkspaceId bob("ac-2");

struct House : control::FleetHouse {
  std::unique_ptr<Documents> documents =
      control::must(Documents::open(loop, *database, catalog->shares));
  ModelAliases aliases{*documents};

  ~House() { await(documents->stop()); }

  Code set(const model::WorkspaceId& workspace, std::string name, std::string target) {
    Code code = Code::ok;
    const auto body = [](House& house, model::WorkspaceId whose, ModelAlias alias,
                         Code& out) -> async::Task<void> {
      const auto stored = co_await house.aliases.set(std::move(whose), std::move(alias));
      out = stored ? Code::ok : stored.error().code();
      co_return ok();
    };
    await(body(*this, workspace, {std::move(name), std::move(target), "", {}}, code));
    return code;
  }
  void put(model::Document document) {
    const auto body = [](House& house, model::Document given) -> async::Task<void> {
      THAW_CO_TRY([[maybe_unused]] const auto stored,
                  co_await house.documents->put(std::move(given)));
      co_return ok();
    };
    await(body(*this, std::move(document)));
  }
};

}  // namespace

TEST_CASE("an alias is its workspace's alone, and the last one of a name counts") {
  House f;
  CHECK(f.set(ada, "@cf/meta/llama", "ada/old") == Code::ok);
  CHECK(f.set(ada, "@cf/meta/llama", "ada/new") == Code::ok);
  CHECK(f.set(ada, "@cf/a", "server") == Code::ok);
  REQUIRE(f.aliases.find(ada, "@cf/meta/llama"));
  CHECK(f.aliases.find(ada, "@cf/meta/llama")->target == "ada/new");
  CHECK_FALSE(f.aliases.find(bob, "@cf/meta/llama"));
  CHECK(f.aliases.list(bob).empty());
  const auto all = f.aliases.list(ada);
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "@cf/a");
}

TEST_CASE("what is no name, no target or no task is no alias") {
  CHECK(check({"@cf/meta/llama-3.1-8b", "ada/says", "text-generation", {}}));
  CHECK(check({"@cf/a", "server", "", {}}));
  for (const char* name : {"", "/a", "a/", "a//b", "a b", "a\nb", "ä", "a?b", "a%2fb"}) {
    CHECK_FALSE(check({name, "ada/says", "", {}}));
    CHECK_FALSE(check({"@cf/a", name, "", {}}));
  }
  CHECK_FALSE(check({std::string(201, 'a'), "ada/says", "", {}}));
  CHECK_FALSE(check({"@cf/a", "a/b/c", "", {}}));
  CHECK_FALSE(check({"@cf/a", "ada/says", "Text Generation", {}}));
  House f;
  CHECK(f.set(ada, "a b", "ada/says") == Code::invalid_argument);
}

TEST_CASE("a record that cannot be read costs itself") {
  House f;
  f.set(ada, "@cf/good", "ada/says");
  int number = 0;
  for (const char* text : {"", "no JSON", "[]", "{}", R"({"target":7})", R"({"target":"a/b/c"})"}) {
    model::Document document;
    document.place = {ada, "models", "alias"};
    document.name = "@cf/bad" + std::to_string(number++);
    document.text = text;
    document.created_at = wall_now();
    f.put(document);
    CHECK_FALSE(f.aliases.find(ada, document.name));
  }
  REQUIRE(f.aliases.list(ada).size() == 1);
  CHECK(f.aliases.list(ada)[0].name == "@cf/good");
}
