// SPDX-License-Identifier: Apache-2.0
// What is pushed is there, for its workspace, until nothing names it; and for the builder.
#include "thaw/gateway/own_registry.h"

#include <doctest/doctest.h>

#include <deque>
#include <filesystem>
#include <future>
#include <optional>

#include "thaw/codec/json.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;
using codec::Json;

namespace {

const model::WorkspaceId ann("ac-ann");
const model::WorkspaceId bob("ac-bob");
const std::string manifest_type = "application/vnd.oci.image.manifest.v1+json";

std::string digest_of(const std::string& bytes) { return "sha256:" + store::sha256_hex(bytes); }

// Work that holds a thread of a pool until it is let go.
class Holding final : public async::Pool::Work {
 public:
  explicit Holding(std::shared_future<void> until) : until_(std::move(until)) {}
  void run() override { until_.wait(); }

 private:
  std::shared_future<void> until_;
};

// The body of one request, in pieces; a piece that is not there breaks it off.
class FakeBody final : public net::HttpExchange {
 public:
  explicit FakeBody(std::deque<std::optional<std::string>> pieces) : pieces_(std::move(pieces)) {}

  const net::HttpRequest& request() const override { return request_; }
  async::Task<std::optional<std::string>> read() override {
    if (pieces_.empty()) {
      co_return std::nullopt;
    }
    std::optional<std::string> piece = std::move(pieces_.front());
    pieces_.pop_front();
    if (!piece) {
      co_return Error::unavailable("the peer is gone");
    }
    co_return piece;
  }
  async::Task<void> respond(int, net::Headers) override { co_return ok(); }
  async::Task<void> write(std::string) override { co_return ok(); }
  async::Task<void> finish() override { co_return ok(); }
  bool responded() const override { return false; }
  async::Task<void> until_gone() override { co_return ok(); }
  bool is_websocket_upgrade() const override { return false; }
  async::Task<std::unique_ptr<net::WebSocket>> accept_websocket(std::string,
                                                                net::Headers) override {
    co_return Error::unimplemented("fake");
  }

 private:
  net::HttpRequest request_;
  std::deque<std::optional<std::string>> pieces_;
};

struct Fixture {
  store::TempFolder folder;
  async::Loop loop;
  static constexpr unsigned threads = 2;
  async::Pool pool{threads};
  std::unique_ptr<store::Database> database;
  std::optional<store::DiskShares> disk;
  std::unique_ptr<store::BlobStore> blobs;
  catalog::Shares shares;
  std::unique_ptr<catalog::Repositories> repositories;
  std::optional<OwnRegistry> registry;
  OwnRegistryOptions options;

  explicit Fixture(OwnRegistryOptions chosen = {}) : options(std::move(chosen)) { open(); }
  ~Fixture() {
    close();
    pool.join();
  }
  void open() {
    store::DatabaseOptions wanted;
    wanted.path = folder / "t.db";
    wanted.migrations = catalog::migrations();
    for (auto& migration : store::blob_migrations()) {
      wanted.migrations.push_back(std::move(migration));
    }
    database = std::move(*store::Database::open(loop, std::move(wanted)));
    disk.emplace(folder.path(), store::DiskLimits{.bytes_per_owner = 1u << 20, .reserve_bytes = 0});
    store::BlobOptions blob_options;
    blob_options.folder = folder / "blobs";
    blob_options.keep_unused = Duration{};
    blobs = std::move(*store::BlobStore::open(pool, *database, *disk, blob_options));
    shares = {};
    repositories = std::move(*catalog::Repositories::open(*database, shares, options.limits));
    registry.emplace(OwnRegistry::Parts{loop, pool, *repositories, *blobs,
                                        [](const Error& error) { return error.message(); }},
                     options);
  }
  void close() {
    REQUIRE(loop.run_task(registry->stop()));
    registry.reset();
    repositories.reset();
    blobs.reset();
    database->close();
    database.reset();
  }
  template <class T>
  Result<T> wait(async::Task<T> task) {
    return loop.run_task(std::move(task));
  }

  ImageUploads::UploadPtr begin(const model::WorkspaceId& workspace, const std::string& name) {
    auto upload = registry->uploads().begin(workspace, name);
    REQUIRE(upload);
    return *upload;
  }
  Result<void> receive(const ImageUploads::UploadPtr& upload,
                       std::deque<std::optional<std::string>> pieces) {
    FakeBody body(std::move(pieces));
    return wait(registry->uploads().receive(upload, body));
  }
  Result<void> push_blob(const model::WorkspaceId& workspace, const std::string& name,
                         const std::string& bytes) {
    const auto upload = begin(workspace, name);
    THAW_TRY_VOID(receive(upload, {bytes}));
    return wait(registry->finish(upload, store::sha256_hex(bytes)));
  }
  static std::string manifest(const std::vector<std::string>& blobs) {
    Json layers = Json::array();
    for (const std::string& blob : blobs) {
      layers.push_back({{"mediaType", "x"}, {"digest", digest_of(blob)}, {"size", blob.size()}});
    }
    return Json({{"schemaVersion", 2},
                 {"mediaType", manifest_type},
                 {"config", layers[0]},
                 {"layers", layers}})
        .dump();
  }
  Result<model::RepositoryManifest> push(const model::WorkspaceId& workspace,
                                         const std::string& name, const std::string& reference,
                                         const std::string& bytes) {
    OwnRegistry::Push wanted{workspace, name, reference, manifest_type, bytes};
    return wait(registry->push(std::move(wanted)));
  }
  void sweep() {
    blobs->begin_marks();
    REQUIRE(wait(registry->mark_blobs()));
    REQUIRE(wait(blobs->sweep()));
  }
  std::size_t drafts() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& file :
         std::filesystem::directory_iterator(folder / "blobs/tmp")) {
      ++count;
    }
    return count;
  }
};

}  // namespace

TEST_CASE("a blob comes in pieces, and a request that breaks off leaves what had come") {
  Fixture f;
  const std::string large(700u << 10, 'a');
  const auto upload = f.begin(ann, "app");
  const auto broken = f.receive(upload, {large, "tail", std::nullopt});
  REQUIRE(!broken);
  CHECK(broken.error().code() == Code::unavailable);
  CHECK(upload->size == large.size() + 4);
  REQUIRE(f.receive(upload, {"end"}));
  const std::string whole = large + "tailend";
  REQUIRE(f.wait(f.registry->finish(upload, store::sha256_hex(whole))));
  CHECK(f.registry->blob(ann, "app", store::sha256_hex(whole))->size == whole.size());
  CHECK(f.drafts() == 0);
  CHECK(f.registry->uploads().find(ann, "app", upload->id) == nullptr);
}

TEST_CASE("an upload is its workspace's and its repository's alone") {
  Fixture f;
  const auto upload = f.begin(ann, "app");
  CHECK(f.registry->uploads().find(ann, "app", upload->id) == upload);
  CHECK(f.registry->uploads().find(bob, "app", upload->id) == nullptr);
  CHECK(f.registry->uploads().find(ann, "other", upload->id) == nullptr);
}

TEST_CASE("what is not its digest ends the upload and is not there") {
  Fixture f;
  const auto upload = f.begin(ann, "app");
  REQUIRE(f.receive(upload, {"bytes"}));
  const auto refused = f.wait(f.registry->finish(upload, store::sha256_hex("other")));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::invalid_argument);
  CHECK(f.drafts() == 0);
  CHECK(f.repositories->find(ann, "app") == nullptr);
}

TEST_CASE("uploads are bounded for each workspace; what was left behind makes room later") {
  OwnRegistryOptions options;
  options.uploads.of_workspace = 2;
  Fixture f(options);
  const auto first = f.begin(ann, "app");
  const auto second = f.begin(ann, "app");
  CHECK(f.registry->uploads().begin(ann, "app").error().code() == Code::resource_exhausted);
  CHECK(f.registry->uploads().begin(bob, "app"));
  first->last_byte -= std::chrono::minutes(2);
  CHECK(f.registry->uploads().begin(ann, "app"));
  CHECK(f.registry->uploads().find(ann, "app", first->id) == nullptr);
  f.registry->uploads().expire(monotonic_now() + std::chrono::hours(2));
  CHECK(f.registry->uploads().size() == 0);
  CHECK(f.drafts() == 0);
}

TEST_CASE("past the workspace's share nothing more is taken, and what had come is still counted") {
  Fixture f;
  const auto upload = f.begin(ann, "app");
  const std::string piece(600u << 10, 'x');
  REQUIRE(f.receive(upload, {piece}));
  const auto refused = f.receive(upload, {piece});
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(f.disk->used(ann.str()) == upload->size);
  f.registry->uploads().cancel(upload);
  CHECK(f.disk->used(ann.str()) == 0);
}

TEST_CASE("a manifest is there with what it names, after a start anew too, and survives a sweep") {
  Fixture f;
  REQUIRE(f.push_blob(ann, "app", "config"));
  REQUIRE(f.push_blob(ann, "app", "layer"));
  const std::string bytes = Fixture::manifest({"config", "layer"});
  REQUIRE(f.push(ann, "app", "1", bytes));
  f.close();
  f.open();
  f.blobs->begin_marks();  // what a start keeps for a moment is kept no longer
  f.sweep();
  f.sweep();
  CHECK(f.registry->find_manifest(ann, "app", "1")->sha256_hex == store::sha256_hex(bytes));
  CHECK(f.wait(f.blobs->get(ann.str(), store::sha256_hex(bytes))).value() == bytes);
  CHECK(f.registry->find_manifest(bob, "app", "1") == nullptr);
  CHECK(f.registry->blob(bob, "app", store::sha256_hex("layer")) == nullptr);
}

TEST_CASE("a manifest that names what is not in its repository is refused") {
  Fixture f;
  REQUIRE(f.push_blob(ann, "app", "config"));
  REQUIRE(f.push_blob(ann, "other", "layer"));
  const auto refused = f.push(ann, "app", "1", Fixture::manifest({"config", "layer"}));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::failed_precondition);
  CHECK(refused.error().message().find(digest_of("layer")) != std::string::npos);
  REQUIRE(f.wait(f.registry->mount(ann, "other", "app", store::sha256_hex("layer"))).value());
  CHECK(f.push(ann, "app", "1", Fixture::manifest({"config", "layer"})));
  CHECK(!f.wait(f.registry->mount(bob, "other", "app", store::sha256_hex("layer"))).value());
}

TEST_CASE("a manifest by digest is what its digest says") {
  Fixture f;
  REQUIRE(f.push_blob(ann, "app", "config"));
  const std::string bytes = Fixture::manifest({"config"});
  CHECK(f.push(ann, "app", digest_of("other"), bytes).error().code() == Code::aborted);
  REQUIRE(f.push(ann, "app", digest_of(bytes), bytes));
  CHECK(f.registry->find_manifest(ann, "app", digest_of(bytes)));
  CHECK(f.push(ann, "app", "1", "{").error().code() == Code::invalid_argument);
}

TEST_CASE("a blob that a manifest names stays; one that nothing names goes with its bytes") {
  Fixture f;
  REQUIRE(f.push_blob(ann, "app", "config"));
  const std::string bytes = Fixture::manifest({"config"});
  REQUIRE(f.push(ann, "app", "1", bytes));
  const std::string hex = store::sha256_hex("config");
  CHECK(f.wait(f.registry->erase_blob(f.registry->blob(ann, "app", hex))).error().code() ==
        Code::failed_precondition);
  REQUIRE(f.wait(f.repositories->erase_manifest(f.registry->find_manifest(ann, "app", "1"))));
  REQUIRE(f.wait(f.registry->erase_blob(f.registry->blob(ann, "app", hex))));
  CHECK(f.registry->blob(ann, "app", hex) == nullptr);
}

TEST_CASE("what nobody tagged or asked for goes by itself, and an empty repository too") {
  OwnRegistryOptions options;
  options.unused.young = Duration{};
  options.unused.keep_untagged = Duration{};
  Fixture f(options);
  REQUIRE(f.push_blob(ann, "app", "old"));
  REQUIRE(f.push(ann, "app", "1", Fixture::manifest({"old"})));
  REQUIRE(f.push_blob(ann, "app", "new"));
  REQUIRE(f.push(ann, "app", "1", Fixture::manifest({"new"})));
  REQUIRE(f.push_blob(ann, "left", "left"));
  REQUIRE(f.wait(f.registry->look_after()));
  CHECK(f.registry->find_manifest(ann, "app", "1"));
  CHECK(f.registry->blob(ann, "app", store::sha256_hex("new")));
  CHECK(f.registry->blob(ann, "app", store::sha256_hex("old")) == nullptr);
  CHECK(f.repositories->find(ann, "left") == nullptr);
}

TEST_CASE("what is tagged while the unused are looked for keeps all that it holds") {
  OwnRegistryOptions options;
  options.unused.young = Duration{};
  options.unused.keep_untagged = Duration{};
  Fixture f(options);
  REQUIRE(f.push_blob(ann, "app", "layer"));
  const auto image =
      f.push(ann, "app", digest_of(Fixture::manifest({"layer"})), Fixture::manifest({"layer"}));
  REQUIRE(image);
  model::RepositoryManifest index;
  index.workspace = ann;
  index.sha256_hex = store::sha256_hex("index");
  index.media_type = codec::oci_index_type;
  index.children = {image->sha256_hex};
  REQUIRE(f.wait(f.repositories->add_manifest("app", index, "")));
  model::RepositoryManifest about = index;
  about.sha256_hex = store::sha256_hex("about");
  about.children = {};
  about.subject = image->sha256_hex;
  REQUIRE(f.wait(f.repositories->add_manifest("app", about, "")));

  std::promise<void> go;
  const std::shared_future<void> until = go.get_future().share();
  for (unsigned i = 0; i < Fixture::threads; ++i) {
    f.pool.post("", std::make_unique<Holding>(until));
  }
  async::TaskGroup tasks(f.loop);
  tasks.start("a look at what is unused", f.registry->look_after());
  REQUIRE(f.wait(f.repositories->add_manifest("app", index, "v2")));
  REQUIRE(tasks.size() == 1);
  go.set_value();
  REQUIRE(f.wait(tasks.join(Instant::max())).value());

  CHECK(f.registry->find_manifest(ann, "app", "v2"));
  CHECK(f.registry->find_manifest(ann, "app", "sha256:" + image->sha256_hex));
  CHECK(f.registry->find_manifest(ann, "app", digest_of("about")));
  CHECK(f.registry->blob(ann, "app", store::sha256_hex("layer")));
  const auto repository = f.repositories->find(ann, "app")->id;
  REQUIRE(f.wait(f.repositories->erase_tag(repository, "v2")));
  REQUIRE(f.wait(f.registry->look_after()));
  CHECK(f.repositories->find(ann, "app") == nullptr);
}

TEST_CASE("where many send already another one is taken slowly, and is not refused") {
  OwnRegistryOptions options;
  options.uploads.sending_of_all = 0;
  Fixture f(options);
  const std::string large(300u << 10, 'a');
  const auto upload = f.begin(ann, "app");
  CHECK(!f.receive(upload, {large, std::nullopt}));
  CHECK(upload->size == large.size());
  REQUIRE(f.receive(upload, {"tail"}));
  REQUIRE(f.wait(f.registry->finish(upload, store::sha256_hex(large + "tail"))));
}

TEST_CASE("where all have too many uploads who has the most gives way to who has fewer") {
  OwnRegistryOptions options;
  options.uploads.of_all = 3;
  Fixture f(options);
  const auto idlest = f.begin(ann, "app");
  idlest->last_byte -= std::chrono::seconds(1);
  f.begin(ann, "app");
  const auto kept = f.begin(bob, "app");
  const auto more = f.begin(bob, "app");  // one of ann's makes room
  CHECK(f.registry->uploads().find(ann, "app", idlest->id) == nullptr);
  CHECK(f.registry->uploads().size() == 3);
  CHECK(!f.registry->uploads().begin(bob, "app"));  // who has the most takes from nobody
  CHECK(f.registry->uploads().find(bob, "app", kept->id) == kept);
  CHECK(f.registry->uploads().find(bob, "app", more->id) == more);
}

TEST_CASE("the builder finds an image by this server's names, for its workspace") {
  Fixture f;
  f.registry->start("127.0.0.1:8700");
  f.registry->stands_in = [](const image::ImageName& name) {
    return name.host == "cloud.example" ? std::optional(name.path) : std::nullopt;
  };
  REQUIRE(f.push_blob(ann, "team/app", "config"));
  const std::string bytes = Fixture::manifest({"config"});
  REQUIRE(f.push(ann, "team/app", "1", bytes));
  const auto place = [&f](const char* name) {
    return f.registry->place_of(*image::parse_image_name(name));
  };
  using Where = image::LocalImages::Place::Where;
  CHECK(place("localhost:8700/team/app:1")->where == Where::only_here);
  CHECK(place("cloud.example/team/app:1")->where == Where::before_others);
  CHECK(!place("localhost:8701/team/app:1"));
  CHECK(!place("example.com:8700/team/app:1"));
  CHECK(!place("team/app:1"));
  CHECK(f.wait(f.registry->manifest(ann.str(), "team/app", "1")).value() == bytes);
  CHECK(f.wait(f.registry->manifest(bob.str(), "team/app", "1")).error().code() == Code::not_found);
  CHECK(f.wait(f.registry->small_blob(ann.str(), "team/app", digest_of("config"))).value() ==
        "config");
  CHECK(f.registry->file_of(ann.str(), "team/app", digest_of("config")));
  CHECK(!f.registry->file_of(bob.str(), "team/app", digest_of("config")));
}

TEST_CASE("a server on loopback is known by all names that the machine has for itself") {
  CHECK(is_own_host("127.0.0.1:8700", "127.0.0.1:8700"));
  CHECK(is_own_host("localhost:8700", "127.0.0.1:8700"));
  CHECK(is_own_host("[::1]:8700", "127.0.0.1:8700"));
  CHECK(!is_own_host("localhost:8701", "127.0.0.1:8700"));
  CHECK(!is_own_host("localhost", "127.0.0.1:8700"));
  CHECK(!is_own_host("localhost:8700", "10.0.0.5:8700"));
  CHECK(is_own_host("10.0.0.5:8700", "10.0.0.5:8700"));
  CHECK(!is_own_host("", ""));
}
