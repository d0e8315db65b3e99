// SPDX-License-Identifier: Apache-2.0
// Recipes on bases that this machine does not make: of registries, and imported by hand.
#include <doctest/doctest.h>

#include "thaw/image/image_fixture_test.h"
#include "thaw/image/registry_fixture_test.h"

using namespace thaw;
using namespace thaw::image;
using codec::Json;

namespace {

std::string root() {
  return TarText()
      .folder("usr/bin/")
      .file("usr/bin/python3.11", "x")
      .symlink("usr/bin/python", "python3.11")
      .file("etc/name", "of the base")
      .str();
}

const Json settings = {{"Env", {"PATH=/usr/bin", "A=1"}},
                       {"WorkingDir", "/srv"},
                       {"Cmd", {"/run"}},
                       {"OnBuild", {"ENV TRIGGERED=yes"}}};

Recipe recipe(std::vector<std::string> lines) { return FakeHouse::recipe(std::move(lines)); }

BuildResult build(FakeHouse& house, Recipe asked) {
  auto found = house.found(std::move(asked));
  REQUIRE_MESSAGE(found, (found ? "" : found.error().to_string()));
  const auto key = house.builder->key_of(*found);
  BuildResult result = house.build(std::move(*found));
  REQUIRE(key);
  CHECK(*key == result.key);
  return result;
}

std::string read(const BuildResult& result, const std::string& path) {
  for (auto layer = result.image.layers.rbegin(); layer != result.image.layers.rend(); ++layer) {
    if (os::exists(*layer + path)) {
      return read_file(*layer + path);
    }
  }
  return "(none)";
}

Result<ImportedImage> import(FakeHouse& house, const std::string& path, const std::string& name) {
  return house.loop.run_task(house.builder->import_image(path, name));
}

}  // namespace

TEST_CASE(
    "FROM takes an image of a registry with its settings and triggers, COPY --from its files") {
  if (!can_mount()) {
    return;
  }
  FakeRegistry registry;
  registry.put_image("1", {root()}, "gzip", settings);
  registry.put_image("tools", {TarText().file("tool", "of another").str()});
  FakeHouse house;
  const std::string name = registry.host() + "/team/app";
  const auto result = build(house, recipe({"ARG TAG=1", "FROM " + name + ":$TAG", "ENV B=$A",
                                           "COPY --from=" + name + ":tools /tool /tool"}));
  CHECK(result.image.config.env ==
        std::vector<std::string>{"PATH=/usr/bin", "A=1", "TRIGGERED=yes", "B=1"});
  CHECK(result.image.config.workdir == "/srv");
  CHECK(result.image.config.cmd == std::vector<std::string>{"/run"});
  CHECK(result.image.config.onbuild.empty());
  CHECK(result.image.python == "3.11");
  CHECK(read(result, "/etc/name") == "of the base");
  CHECK(read(result, "/tool") == "of another");
  CHECK(house.output.find("fetching layer 1 of 1") != std::string::npos);
}

TEST_CASE("an image of a registry is pulled once, and its key is its content's") {
  if (!can_mount()) {
    return;
  }
  FakeRegistry registry;
  registry.put_image("1", {root()}, "gzip", settings);
  registry.put_image("same", {root()}, "zstd", settings);
  FakeHouse house;
  const auto first = build(house, recipe({"FROM " + registry.host() + "/app:1"}));
  const auto same = build(house, recipe({"FROM " + registry.host() + "/other:same"}));
  CHECK(first.key == same.key);
  CHECK(registry.count("/blobs/") == 3);  // two configurations, equal in content, and one layer
  CHECK(house.builder->find(first.key));
}

TEST_CASE("what is made here, or was built, is not asked for at a registry") {
  FakeRegistry registry;
  RegistrySettings all;
  all.default_registry = registry.host();
  FakeHouse house("", all);
  CHECK(house.found(recipe({"FROM scratch"})));
  CHECK(house.found(recipe({"FROM python:3.11-slim-bookworm"})));
  CHECK(house.found(recipe({"FROM python:3.12"})));
  CHECK(house.found(recipe({"FROM debian:bookworm-slim", "COPY --from=debian:trixie / /x"})));
  Recipe on_built = recipe({"FROM base"});
  on_built.bases["base"] = "some-key";
  CHECK(house.found(std::move(on_built)));
  CHECK(house.found(recipe({"FROM scratch AS one", "FROM one"})));
  CHECK(registry.requests().empty());
}

TEST_CASE("only the first FROM sends the login") {
  const auto closed = [](int connection, const FakeRegistry::Request& request) {
    if (!request.header("authorization").empty()) {
      return false;
    }
    FakeRegistry::answer(connection, "401 Unauthorized", "",
                         "WWW-Authenticate: Basic realm=\"x\"\r\n");
    return true;
  };
  FakeRegistry registry(closed);
  FakeRegistry other(closed);
  registry.put_image("1", {root()});
  other.put_image("1", {root()});
  FakeHouse house;
  const auto ask = [&](std::vector<std::string> lines) {
    Recipe asked = recipe(std::move(lines));
    asked.login = RegistryLogin{"user", "secret"};
    const auto found = house.found(std::move(asked));
    return found ? Code::ok : found.error().code();
  };
  const std::string from = "FROM " + registry.host() + "/app:1";
  CHECK(ask({from}) == Code::ok);
  CHECK(ask({from + " AS x", "FROM x"}) == Code::ok);
  CHECK(ask({from + " AS x", "FROM " + other.host() + "/app:1", "COPY --from=x / /"}) ==
        Code::permission_denied);
  CHECK(ask({"FROM scratch", "COPY --from=" + registry.host() + "/app:1 / /"}) ==
        Code::permission_denied);
  CHECK(ask({"FROM scratch AS x", from, "COPY --from=x / /"}) == Code::permission_denied);
  for (const auto& request : other.requests()) {
    CHECK(request.header("authorization").empty());
  }
}

TEST_CASE("a name that nobody knows says what Thaw makes and which setting names a registry") {
  FakeHouse house;
  const auto found = house.found(recipe({"FROM ubuntu:22.04"}));
  REQUIRE(!found);
  CHECK(found.error().code() == Code::not_found);
  for (const char* words : {"line 1", "ubuntu:22.04", "python:3.11-slim-bookworm",
                            "[images] default_registry", "thaw image import"}) {
    CAPTURE(words);
    CHECK(found.error().message().find(words) != std::string::npos);
  }
  CHECK(house.found(recipe({"FROM Not A Name"})).error().code() == Code::invalid_argument);
  CHECK(house.found(recipe({"FROM No/Such"})).error().code() == Code::not_found);
}

TEST_CASE("one recipe names so many registries' images, and no more") {
  FakeRegistry registry;
  registry.put_image("1", {root()});
  FakeHouse house;
  std::vector<std::string> lines = {"FROM scratch"};
  for (int i = 0; i < 20; ++i) {
    lines.push_back("COPY --from=" + registry.host() + "/app" + std::to_string(i) + ":1 / /");
  }
  const auto found = house.found(recipe(std::move(lines)));
  REQUIRE(!found);
  CHECK(found.error().code() == Code::resource_exhausted);
}

TEST_CASE("a root file system is imported as a tar and as a folder, and FROM finds it") {
  if (!can_mount()) {
    return;
  }
  FakeHouse house;
  write_file(house.folder / "root.tar", compressed(root(), "gzip"));
  const auto tar = import(house, house.folder / "root.tar", "team/root:1");
  REQUIRE_MESSAGE(tar, (tar ? "" : tar.error().to_string()));
  CHECK(tar->python == "3.11");
  CHECK(tar->layers == 1);
  const auto result = build(house, recipe({"FROM team/root:1"}));
  CHECK(read(result, "/etc/name") == "of the base");
  CHECK(result.key == tar->key);

  write_file(house.folder / "tree/etc/name", "of a folder");
  const auto folder = import(house, house.folder / "tree", "team/tree");
  REQUIRE_MESSAGE(folder, (folder ? "" : folder.error().to_string()));
  CHECK(folder->name == "team/tree:latest");
  CHECK(read(build(house, recipe({"FROM team/tree"})), "/etc/name") == "of a folder");
}

TEST_CASE("what docker save and OCI's tools write is imported by its own name") {
  if (!can_mount()) {
    return;
  }
  FakeHouse house;
  const std::string config =
      Json{{"config", settings}, {"rootfs", {{"diff_ids", {sha256_of(root())}}}}}.dump();
  const Json saved = Json::array(
      {{{"Config", "c.json"}, {"RepoTags", {"team/saved:2"}}, {"Layers", {"l/layer.tar"}}}});
  write_file(house.folder / "saved.tar", TarText()
                                             .file("c.json", config)
                                             .folder("l/")
                                             .file("l/layer.tar", root())
                                             .file("manifest.json", saved.dump())
                                             .str());
  const auto docker = import(house, house.folder / "saved.tar", "");
  REQUIRE_MESSAGE(docker, (docker ? "" : docker.error().to_string()));
  CHECK(docker->name == "team/saved:2");
  const auto result = build(house, recipe({"FROM team/saved:2"}));
  CHECK(result.image.config.workdir == "/srv");

  const std::string layer = compressed(root(), "zstd");
  const auto blob = [](const std::string& bytes) {
    return "blobs/sha256/" + sha256_of(bytes).substr(7);
  };
  const std::string manifest =
      Json{{"schemaVersion", 2},
           {"config", FakeRegistry::descriptor(sha256_of(config), config.size())},
           {"layers", {FakeRegistry::descriptor(sha256_of(layer), layer.size())}}}
          .dump();
  Json entry = FakeRegistry::descriptor(sha256_of(manifest), manifest.size());
  entry["annotations"] = {{"org.opencontainers.image.ref.name", "team/layout:3"}};
  const std::string folder = house.folder / "layout";
  write_file(folder + "/index.json", Json{{"schemaVersion", 2}, {"manifests", {entry}}}.dump());
  for (const std::string& bytes : {config, layer, manifest}) {
    write_file(folder + "/" + blob(bytes), bytes);
  }
  const auto layout = import(house, folder, "");
  REQUIRE_MESSAGE(layout, (layout ? "" : layout.error().to_string()));
  CHECK(layout->name == "team/layout:3");
  CHECK(layout->key == docker->key);

  write_file(folder + "/" + blob(config), config + " ");
  const auto damaged = import(house, folder, "");
  REQUIRE(!damaged);
  CHECK(damaged.error().code() == Code::data_loss);
}

TEST_CASE(
    "imported names are there after a start anew, and records that are damaged are passed over") {
  if (!can_mount()) {
    return;
  }
  TempFolder cache;
  FakeHouse first(cache.path);
  write_file(first.folder / "root.tar", root());
  REQUIRE(import(first, first.folder / "root.tar", "team/one:1"));
  REQUIRE(import(first, first.folder / "root.tar", "team/two:1"));
  REQUIRE(first.builder->forget_import("team/two:1"));
  CHECK(!first.builder->forget_import("team/two:1"));
  const std::string imports = first.folder / "layers/imports";
  write_file(imports + "/damaged.json", "{");
  write_file(imports + "/left.json.new", "{}");
  FakeHouse second(cache.path);
  std::filesystem::create_directories(second.folder / "layers");
  std::filesystem::copy(imports, second.folder / "layers/imports");
  BuilderOptions options;
  options.layers_folder = second.folder / "layers";
  options.cache_folder = cache.path;
  options.inherit_package_settings = false;
  auto again = Builder::open(second.loop, second.pool, second.spawner, second.blobs, options);
  REQUIRE(again);
  REQUIRE((*again)->imported().size() == 1);
  CHECK((*again)->imported()[0].name == "team/one:1");
  CHECK(!os::exists(second.folder / "layers/imports/left.json.new"));
}

TEST_CASE("what cannot be imported says why, and leaves no name") {
  FakeHouse house;
  write_file(house.folder / "text", "no image at all");
  write_file(house.folder / "root.tar", root());
  const auto refused = [&](const std::string& path, const std::string& name) {
    const auto done = import(house, path, name);
    REQUIRE(!done);
    return done.error().code();
  };
  CHECK(refused(house.folder / "missing", "a") == Code::not_found);
  CHECK(refused("relative", "a") == Code::invalid_argument);
  CHECK(refused(house.folder / "text", "a") == Code::failed_precondition);
  CHECK(refused(house.folder / "root.tar", "debian:bookworm") == Code::already_exists);
  CHECK(refused(house.folder / "root.tar", "No Name") == Code::invalid_argument);
  if (can_mount()) {
    CHECK(refused(house.folder / "root.tar", "") == Code::invalid_argument);
  }
  CHECK(house.builder->imported().empty());
}
