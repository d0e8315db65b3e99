// SPDX-License-Identifier: Apache-2.0
// What was pushed is found again, by its owner, after a restart too.
#include "thaw/catalog/repositories.h"

#include <doctest/doctest.h>

#include "thaw/async/loop.h"
#include "thaw/catalog/catalog.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::catalog;

namespace {

const model::WorkspaceId ann("ac-ann");
const model::WorkspaceId bob("ac-bob");

std::string hex(char digit) { return std::string(64, digit); }

struct Fixture {
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  Shares shares;
  std::unique_ptr<Repositories> repositories;
  RepositoryLimits limits{.repositories = 2, .tags = 3};

  Fixture() { open(); }
  ~Fixture() { close(); }
  void open() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = migrations();
    database = std::move(*store::Database::open(loop, options));
    shares = {};
    repositories = std::move(*Repositories::open(*database, shares, limits));
  }
  void close() {
    repositories.reset();
    database->close();
    database.reset();
  }
  void restart() {
    close();
    open();
  }
  Result<void> add(const model::WorkspaceId& workspace, const std::string& name, char digit,
                   const std::string& tag, const std::string& subject = "") {
    model::RepositoryManifest manifest;
    manifest.workspace = workspace;
    manifest.sha256_hex = hex(digit);
    manifest.size = 10;
    manifest.media_type = "application/vnd.oci.image.manifest.v1+json";
    manifest.blobs = {hex('0'), hex('1'), hex('0')};
    manifest.subject = subject;
    return loop.run_task(repositories->add_manifest(name, std::move(manifest), tag));
  }
  model::RepositoryId id(const model::WorkspaceId& workspace, const std::string& name) {
    const auto found = repositories->find(workspace, name);
    REQUIRE(found);
    return found->id;
  }
};

}  // namespace

TEST_CASE("two workspaces have a repository of the same name, and each its own things in it") {
  Fixture f;
  REQUIRE(f.add(ann, "app", 'a', "latest"));
  CHECK(f.repositories->find(bob, "app") == nullptr);
  REQUIRE(f.add(bob, "app", 'b', "latest"));
  f.restart();
  CHECK(f.repositories->tagged(f.id(ann, "app"), "latest")->sha256_hex == hex('a'));
  CHECK(f.repositories->tagged(f.id(bob, "app"), "latest")->sha256_hex == hex('b'));
  CHECK(f.repositories->manifest(f.id(ann, "app"), hex('b')) == nullptr);
  CHECK(f.repositories->names(ann) == std::vector<std::string>{"app"});
}

TEST_CASE("a tag moves, and tags are told in order, from behind any of them") {
  Fixture f;
  REQUIRE(f.add(ann, "app", 'a', "v2"));
  REQUIRE(f.add(ann, "app", 'b', "v1"));
  REQUIRE(f.add(ann, "app", 'b', "v2"));
  const auto id = f.id(ann, "app");
  CHECK(f.repositories->tagged(id, "v2")->sha256_hex == hex('b'));
  CHECK(!f.repositories->is_tagged(*f.repositories->manifest(id, hex('a'))));
  for (int i = 0; i < 2; ++i) {
    CHECK(f.repositories->tags(id, "", 10) == std::vector<std::string>{"v1", "v2"});
    CHECK(f.repositories->tags(id, "v1", 10) == std::vector<std::string>{"v2"});
    CHECK(f.repositories->tags(id, "", 1) == std::vector<std::string>{"v1"});
    f.restart();
  }
}

TEST_CASE("what is erased is gone with its tags, and an empty repository goes with its name") {
  Fixture f;
  REQUIRE(f.add(ann, "app", 'a', "v1"));
  REQUIRE(f.add(ann, "app", 'a', "v2"));
  REQUIRE(f.loop.run_task(f.repositories->add_blob(ann, "app", hex('0'), 5)));
  const auto id = f.id(ann, "app");
  CHECK(f.repositories->is_named(id, hex('0')));
  REQUIRE(f.loop.run_task(f.repositories->erase_tag(id, "v1")));
  CHECK(f.repositories->tags(id, "", 10) == std::vector<std::string>{"v2"});
  const auto repository = f.repositories->find(ann, "app");
  REQUIRE(f.loop.run_task(f.repositories->erase_if_empty(repository)));
  REQUIRE(f.loop.run_task(f.repositories->erase_manifest(f.repositories->manifest(id, hex('a')))));
  CHECK(f.repositories->tags(id, "", 10).empty());
  CHECK(!f.repositories->is_named(id, hex('0')));
  CHECK(f.repositories->find(ann, "app"));
  REQUIRE(f.loop.run_task(f.repositories->erase_blob(f.repositories->blob(id, hex('0')))));
  REQUIRE(f.loop.run_task(f.repositories->erase_if_empty(repository)));
  CHECK(f.repositories->find(ann, "app") == nullptr);
  f.restart();
  CHECK(f.repositories->all().empty());
}

TEST_CASE("tags and repositories have a limit each, which is told") {
  Fixture f;
  for (const char* tag : {"a", "b", "c"}) {
    REQUIRE(f.add(ann, "app", 'a', tag));
  }
  const auto refused = f.add(ann, "app", 'a', "d");
  REQUIRE(!refused);
  CHECK(refused.error().message().find("[registry] tags") != std::string::npos);
  CHECK(f.add(ann, "app", 'b', "c"));  // one that is there moves
  REQUIRE(f.add(ann, "other", 'a', "a"));
  CHECK(f.add(ann, "third", 'a', "a").error().message().find("repositories") != std::string::npos);
  CHECK(f.repositories->find(ann, "third") == nullptr);
  CHECK(f.add(bob, "third", 'a', "a"));  // another workspace has its own
}

TEST_CASE("what is about a manifest is found by it, whether it is there or not") {
  Fixture f;
  REQUIRE(f.add(ann, "app", 'b', "", hex('a')));
  REQUIRE(f.add(ann, "app", 'c', "", hex('a')));
  f.restart();
  const auto about = f.repositories->referrers(f.id(ann, "app"), hex('a'));
  REQUIRE(about.size() == 2);
  CHECK(about[0]->sha256_hex == hex('b'));
}

TEST_CASE("things whose repository's record was lost are set aside, and the others are there") {
  Fixture f;
  REQUIRE(f.add(ann, "app", 'a', "v1"));
  REQUIRE(f.add(ann, "lost", 'a', "v1"));
  const std::string id = f.id(ann, "lost").str();
  set_row_aside(*f.database, "repository", id, "a test");
  f.restart();
  CHECK(f.repositories->find(ann, "lost") == nullptr);
  CHECK(f.repositories->tags(model::RepositoryId(id), "", 10).empty());
  CHECK(f.repositories->tagged(f.id(ann, "app"), "v1"));
  CHECK(f.add(ann, "lost", 'a', "v1"));  // it can be pushed anew
}

TEST_CASE(
    "a use that is noted late brings nothing back that was deleted, and changes nothing newer") {
  Fixture f;
  model::RepositoryManifest old;
  old.workspace = ann;
  old.sha256_hex = hex('a');
  old.media_type = "application/vnd.oci.image.manifest.v1+json";
  REQUIRE(f.loop.run_task(f.repositories->add_manifest("app", old, "v1")));
  const auto id = f.id(ann, "app");
  const auto found = f.repositories->manifest(id, hex('a'));
  REQUIRE(f.loop.run_task(f.repositories->note_use(found)));
  CHECK(f.repositories->manifest(id, hex('a'))->used_at > found->used_at);
  const auto newer = f.repositories->manifest(id, hex('a'));
  REQUIRE(f.loop.run_task(f.repositories->note_use(found)));
  CHECK(f.repositories->manifest(id, hex('a')) == newer);
  REQUIRE(f.loop.run_task(f.repositories->erase_manifest(newer)));
  REQUIRE(f.loop.run_task(f.repositories->note_use(found)));
  CHECK(f.repositories->manifest(id, hex('a')) == nullptr);
}
