// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/documents.h"

#include <doctest/doctest.h>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

struct Shelf : control::FleetHouse {
  std::unique_ptr<Documents> documents =
      control::must(Documents::open(loop, *database, catalog->shares));
  const model::DocumentPlace here{model::WorkspaceId("ac-1"), "some", "note"};

  Shelf() { documents->start(); }
  ~Shelf() { await(documents->stop()); }

  model::Document note(std::string name, std::string text = "text") {
    model::Document document;
    document.place = here;
    document.name = std::move(name);
    document.text = std::move(text);
    document.created_at = wall_now();
    return document;
  }
  Code put(model::Document document) {
    Code code = Code::ok;
    const auto body = [](Shelf& shelf, model::Document given, Code& out) -> async::Task<void> {
      const auto stored = co_await shelf.documents->put(std::move(given));
      out = stored ? Code::ok : stored.error().code();
      co_return ok();
    };
    await(body(*this, std::move(document), code));
    return code;
  }
};

}  // namespace

TEST_CASE("a document is found by its name, in its place and in no other") {
  Shelf f;
  CHECK(f.put(f.note("a", std::string("\0\xff", 2))) == Code::ok);
  REQUIRE(f.documents->find(f.here, "a"));
  CHECK(f.documents->find(f.here, "a")->text == std::string("\0\xff", 2));
  CHECK_FALSE(f.documents->find(f.here, "b"));
  CHECK_FALSE(f.documents->find({model::WorkspaceId("ac-2"), "some", "note"}, "a"));
  CHECK_FALSE(f.documents->find({f.here.workspace, "another", "note"}, "a"));
  CHECK_FALSE(f.documents->find({f.here.workspace, "some", "other"}, "a"));
}

TEST_CASE("one of the same name takes its place, and the newest is the first") {
  Shelf f;
  f.put(f.note("a", "old"));
  f.passes(1s);
  f.put(f.note("b"));
  f.passes(1s);
  f.put(f.note("a", "new"));
  const auto all = f.documents->list(f.here);
  REQUIRE(all.size() == 2);
  CHECK(all[0]->name == "a");
  CHECK(all[0]->text == "new");
  CHECK(all[1]->name == "b");
}

TEST_CASE("what is over is found no more, and its row goes") {
  Shelf f;
  model::Document document = f.note("a");
  document.blobs = {std::string(64, 'a')};
  document.expires_at = wall_now() + std::chrono::seconds(30);
  f.put(document);
  CHECK(f.documents->find(f.here, "a"));
  std::size_t references = 0;
  const auto note = [&](const model::WorkspaceId&, const std::string&) { ++references; };
  f.documents->visit_references(note);
  CHECK(references == 1);
  f.passes(31s);
  CHECK_FALSE(f.documents->find(f.here, "a"));
  CHECK(f.documents->list(f.here).empty());
  f.passes(2min);
  references = 0;
  f.documents->visit_references(note);
  CHECK(references == 0);
}

TEST_CASE("the next start finds what was kept, and none that was erased") {
  Shelf f;
  model::Document lasting = f.note("a");
  lasting.expires_at = wall_now() + std::chrono::hours(1);
  f.put(lasting);
  f.put(f.note("b"));
  f.await(f.documents->erase(*f.documents->find(f.here, "b")));
  catalog::Shares shares;
  const auto again = control::must(Documents::open(f.loop, *f.database, shares));
  REQUIRE(again->find(f.here, "a"));
  CHECK(again->find(f.here, "a")->expires_at == lasting.expires_at);
  CHECK_FALSE(again->find(f.here, "b"));
}

TEST_CASE("a document that is too large is refused") {
  Shelf f;
  CHECK(f.put(f.note("a", std::string(Documents::most_text_bytes + 1, 'x'))) ==
        Code::resource_exhausted);
  CHECK_FALSE(f.documents->find(f.here, "a"));
}
