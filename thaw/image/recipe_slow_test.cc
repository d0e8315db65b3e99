// SPDX-License-Identifier: Apache-2.0
//
// The real thing: mmdebstrap, the real spawner, package managers on the network. Skipped in the
// unit run; `ctest -L slow` runs it. THAW_IMAGE_CACHE names another cache folder.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "thaw/image/image.h"
#include "thaw/os/files.h"

using namespace thaw;
using namespace thaw::image;

namespace {

struct RealHouse {
  RealHouse() {
    char pattern[] = "/tmp/thaw-image-XXXXXX";
    folder = ::mkdtemp(pattern);
    sandbox::SpawnerOptions spawner_options;
    spawner_options.instance = "i" + std::to_string(::getpid());
    spawner_options.folder = folder + "/sandboxes";
    spawner_options.bridge_address = "auto";
    auto forked = sandbox::Spawner::fork(spawner_options);
    REQUIRE_MESSAGE(forked, (forked ? "" : forked.error().to_string()));
    spawner = std::move(*forked);
    pool = std::make_unique<async::Pool>(2);
    REQUIRE(spawner->attach(loop, *pool));
    run(spawner->prepare());
    store::DatabaseOptions database_options;
    database_options.path = folder + "/thaw.db";
    database_options.migrations = store::blob_migrations();
    database = std::move(*store::Database::open(loop, std::move(database_options)));
    shares.emplace(folder, store::DiskLimits{});
    store::BlobOptions blob_options;
    blob_options.folder = folder + "/blobs";
    auto opened = store::BlobStore::open(*pool, *database, *shares, blob_options);
    REQUIRE(opened);
    blobs = std::move(*opened);
    BuilderOptions options;
    options.layers_folder = folder + "/layers";
    const char* cache = std::getenv("THAW_IMAGE_CACHE");
    options.cache_folder = cache != nullptr ? cache : "/var/cache/thaw";
    auto made = Builder::open(loop, *pool, *spawner, *blobs, options);
    REQUIRE_MESSAGE(made, (made ? "" : made.error().to_string()));
    builder = std::move(*made);
  }
  ~RealHouse() {
    builder.reset();
    run(spawner->shut_down());
    std::filesystem::remove_all(folder);
  }

  template <class T>
  T run(async::Task<T> task) {
    auto result = loop.run_task(std::move(task));
    REQUIRE_MESSAGE(result, (result ? "" : result.error().to_string()));
    if constexpr (!std::is_void_v<T>) {
      return std::move(*result);
    }
  }

  BuildResult build(Recipe recipe) {
    BuildLog log = [this](logs::Channel, const std::string& text) {
      output += text;
      std::fputs(text.c_str(), stderr);
    };
    const Instant begun = monotonic_now();
    auto result = run(builder->build(std::move(recipe), std::move(log)));
    std::fprintf(stderr, "== %.1f s, %d layers built\n", to_seconds(monotonic_now() - begun),
                 result.layers_built);
    return result;
  }

  std::string folder;
  std::string output;
  async::Loop loop;
  std::unique_ptr<async::Pool> pool;
  std::unique_ptr<sandbox::Spawner> spawner;
  std::unique_ptr<store::Database> database;
  std::optional<store::DiskShares> shares;
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<Builder> builder;
};

}  // namespace

TEST_CASE("slow: the recipe of a Python base with compilers builds" * doctest::skip()) {
  RealHouse house;
  Recipe recipe;
  recipe.dockerfile = {"FROM python:3.11.12-slim-bookworm", "RUN apt-get update",
                       "RUN apt-get install -y gcc gfortran build-essential",
                       "RUN pip install --upgrade pip wheel uv",
                       // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one text
                       "RUN echo 'debconf debconf/frontend select Noninteractive' | "
                       "debconf-set-selections",
                       "CMD [\"sleep\", \"172800\"]"};
  const BuildResult result = house.build(recipe);
  CHECK(result.image.python == "3.11");
  CHECK(result.image.config.cmd == std::vector<std::string>{"sleep", "172800"});
  CHECK(house.output.find("not exactly 3.11.12") != std::string::npos);

  const BuildResult again = house.build(recipe);
  CHECK(again.key == result.key);
  CHECK(again.layers_built == 0);

  Recipe use;
  use.bases = {{"base", result.key}};
  use.cache = Recipe::Cache::ignore;
  use.dockerfile = {
      "FROM base",
      "RUN python -m pip install --no-cache-dir six && python -c 'import six, sys; "
      "print(sys.prefix, sys.version_info[:2])'",
      "RUN uv pip install --python $(command -v python) idna && python -c 'import idna'",
      "RUN printf '#include <Python.h>\\nint main(){return 0;}\\n' > /tmp/a.c && "
      "gcc $(python -c 'import sysconfig; print(\"-I\" + sysconfig.get_path(\"include\"))') "
      "-o /tmp/a /tmp/a.c && /tmp/a && rm /tmp/a /tmp/a.c"};
  const BuildResult used = house.build(use);
  CHECK(house.output.find("/usr/local (3, 11)") != std::string::npos);
  // Nothing of the host's settings stays in a layer.
  for (const std::string& layer : used.image.layers) {
    CHECK(!os::exists(layer + "/run/thaw-build"));
    CHECK(!os::exists(layer + "/run/thaw-build-links-0"));
    CHECK(os::read_text(layer + "/etc/resolv.conf").value_or("") == "");
  }
}

TEST_CASE("slow: the other Python builds as well" * doctest::skip()) {
  RealHouse house;
  Recipe recipe;
  recipe.dockerfile = {"FROM python:3.13-slim-bookworm", "RUN python -m pip --version"};
  recipe.cache = Recipe::Cache::ignore;
  const BuildResult result = house.build(recipe);
  CHECK(result.image.python == "3.13");
  CHECK(house.output.find("python 3.13") != std::string::npos);
}

// A recipe of one's own: THAW_IMAGE_TRY='FROM debian:bookworm-slim
// RUN …' image_test --no-skip --test-case=try:*
TEST_CASE("try: the recipe in THAW_IMAGE_TRY" * doctest::skip()) {
  const char* text = std::getenv("THAW_IMAGE_TRY");
  if (text == nullptr) return;
  RealHouse house;
  Recipe recipe;
  recipe.dockerfile = {text};
  recipe.cache = Recipe::Cache::ignore;
  const BuildResult result = house.build(recipe);
  std::fprintf(stderr, "key %s python %s\n", result.key.c_str(), result.image.python.c_str());
  for (const std::string& layer : result.image.layers) {
    std::fprintf(stderr, "layer %s\n", layer.c_str());
  }
}
