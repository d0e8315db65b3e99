// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/blob_store.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;

namespace {

constexpr const char* ann = "ac-ann";
constexpr const char* bob = "ac-bob";

struct Fixture {
  TempFolder folder;
  async::Loop loop;
  async::Pool pool{2};
  std::unique_ptr<Database> database;
  std::optional<DiskShares> shares;
  std::unique_ptr<BlobStore> blobs;
  Duration keep_unused{};
  std::string first_owner;
  DiskLimits limits;
  std::size_t queue_limit = 10'000;

  Fixture() { open(); }
  ~Fixture() { close(); }
  void close() {
    blobs.reset();
    pool.join();
    database->close();
  }
  // As another server does, after the end of the last one.
  void open() {
    blobs.reset();
    if (database) {
      database->close();
    }
    database.reset();
    DatabaseOptions options;
    options.path = folder / "thaw.db";
    options.migrations = blob_migrations();
    options.queue_limit = queue_limit;
    database = std::move(*Database::open(loop, std::move(options)));
    shares.emplace(folder.path(), limits);
    BlobOptions blob_options;
    blob_options.folder = folder / "blobs";
    blob_options.keep_unused = keep_unused;
    blob_options.first_owner = first_owner;
    blobs = std::move(*BlobStore::open(pool, *database, *shares, blob_options));
  }

  StoredBlob put(std::string bytes, const std::string& owner = ann) {
    auto blob = loop.run_task(blobs->put(owner, std::move(bytes)));
    REQUIRE(blob);
    return *blob;
  }
  BlobStore::Swept sweep() { return *loop.run_task(blobs->sweep()); }
  std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "blobs")) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  std::size_t drafts() const {
    const std::filesystem::directory_iterator begin(folder / "blobs/tmp");
    return static_cast<std::size_t>(std::distance(begin, {}));
  }
};

async::Task<StoredBlob> write_pieces(BlobStore& blobs, std::string expected) {
  THAW_CO_TRY(const auto writer, blobs.create(ann));
  for (const char* piece : {"hello ", "", "world"}) {
    THAW_CO_TRY_VOID(co_await writer->write(piece));
  }
  co_return co_await writer->finish(std::move(expected));
}

async::Task<std::string> read_pieces(BlobStore& blobs, std::string name, std::size_t size) {
  THAW_CO_TRY(const auto reader, blobs.open_reader(ann, name));
  std::string all;
  while (true) {
    THAW_CO_TRY(const std::string piece, co_await reader->read(size));
    if (piece.empty()) {
      co_return all;
    }
    CHECK(piece.size() <= size);
    all += piece;
  }
}

// Of "hello world".
constexpr const char* hello = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

}  // namespace

TEST_CASE("a blob in pieces is stored under its SHA-256 and read back in pieces") {
  Fixture f;
  const auto blob = f.loop.run_task(write_pieces(*f.blobs, hello));
  REQUIRE(blob);
  CHECK(blob->sha256_hex == hello);
  CHECK(blob->md5_hex == "5eb63bbbe01eeed093cb22bb8f5acdc3");
  CHECK(blob->size == 11);
  CHECK(f.blobs->contains(ann, hello));
  CHECK(*f.loop.run_task(f.blobs->get(ann, hello)) == "hello world");
  CHECK(*f.loop.run_task(read_pieces(*f.blobs, hello, 3)) == "hello world");
  struct stat status {};
  REQUIRE(::stat(f.blobs->path(ann, hello)->c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0644);
  CHECK(f.drafts() == 0);
}

TEST_CASE("bytes that are not what was announced are refused and leave nothing") {
  Fixture f;
  const auto blob = f.loop.run_task(write_pieces(*f.blobs, std::string(64, '0')));
  REQUIRE_FALSE(blob);
  CHECK(blob.error().code() == Code::invalid_argument);
  CHECK_FALSE(f.blobs->contains(ann, hello));
  CHECK(f.drafts() == 0);
}

TEST_CASE("a writer that is dropped leaves nothing, and an earlier run's drafts are removed") {
  Fixture f;
  {
    auto writer = f.blobs->create(ann);
    REQUIRE(writer);
    REQUIRE(f.loop.run_task((*writer)->write("half")));
    CHECK(f.drafts() == 1);
    std::filesystem::copy(f.folder / "blobs/tmp/1", f.folder / "blobs/tmp/left");
  }
  CHECK(f.drafts() == 1);
  f.open();
  CHECK(f.drafts() == 0);
}

TEST_CASE("a finished writer takes no more bytes") {
  Fixture f;
  auto writer = f.blobs->create(ann);
  REQUIRE(writer);
  REQUIRE(f.loop.run_task((*writer)->finish("")));
  CHECK_FALSE(f.loop.run_task((*writer)->write("more")));
  CHECK_FALSE(f.loop.run_task((*writer)->finish("")));
}

TEST_CASE("an empty blob is a blob") {
  Fixture f;
  const StoredBlob blob = f.put("");
  CHECK(blob.size == 0);
  CHECK(*f.loop.run_task(f.blobs->get(ann, blob.sha256_hex)) == "");
  CHECK(*f.loop.run_task(read_pieces(*f.blobs, blob.sha256_hex, 10)) == "");
}

TEST_CASE("a damaged blob is never read as if it were whole") {
  Fixture f;
  const std::string bytes(1'000'000, 'b');
  const std::string name = f.put(bytes).sha256_hex;
  const std::string path = *f.blobs->path(ann, name);
  SUBCASE("a byte is changed") { overwrite(path, 500'000, "X"); }
  SUBCASE("it is shorter") { shorten(path, 999'999); }
  SUBCASE("it is empty") { shorten(path, 0); }
  SUBCASE("it is longer") { shorten(path, 1'000'001); }
  const auto whole = f.loop.run_task(f.blobs->get(ann, name));
  REQUIRE_FALSE(whole);
  CHECK(whole.error().code() == Code::data_loss);
  const auto pieces = f.loop.run_task(read_pieces(*f.blobs, name, 65'536));
  REQUIRE_FALSE(pieces);
  CHECK(pieces.error().code() == Code::data_loss);
  // Putting the same bytes again heals it.
  CHECK(f.put(bytes).sha256_hex == name);
  CHECK(*f.loop.run_task(f.blobs->get(ann, name)) == bytes);
}

TEST_CASE("a file that becomes shorter while it is read is noticed") {
  Fixture f;
  const std::string name = f.put(std::string(100'000, 'c')).sha256_hex;
  auto reader = f.blobs->open_reader(ann, name);
  REQUIRE(reader);
  REQUIRE(f.loop.run_task((*reader)->read(10)));
  shorten(*f.blobs->path(ann, name), 50);
  const auto rest = f.loop.run_task((*reader)->read(1 << 20));
  REQUIRE_FALSE(rest);
  CHECK(rest.error().code() == Code::data_loss);
}

TEST_CASE("a name that is not a SHA-256 reaches no file") {
  Fixture f;
  for (const std::string& name :
       {std::string(), std::string("../../etc/passwd"), std::string(64, 'G'), std::string(64, '/'),
        std::string(63, 'a')}) {
    CHECK_FALSE(f.blobs->contains(ann, name));
    CHECK(f.blobs->path(ann, name).error().code() == Code::invalid_argument);
    CHECK(f.loop.run_task(f.blobs->get(ann, name)).error().code() == Code::invalid_argument);
  }
  CHECK(f.blobs->path(ann, hello).error().code() == Code::not_found);
}

TEST_CASE("two writers of the same blob at the same time both succeed") {
  Fixture f;
  async::TaskGroup tasks(f.loop);
  int stored = 0;
  const auto one = [](BlobStore& blobs, int& out) -> async::Task<void> {
    THAW_CO_TRY([[maybe_unused]] const StoredBlob blob, co_await write_pieces(blobs, hello));
    ++out;
    co_return ok();
  };
  for (int i = 0; i < 8; ++i) {
    tasks.start("write", one(*f.blobs, stored));
  }
  CHECK(*f.loop.run_task(tasks.join(monotonic_now() + 30s)));
  CHECK(stored == 8);
  CHECK(*f.loop.run_task(f.blobs->get(ann, hello)) == "hello world");
}

TEST_CASE("a blob is there for who has sent its bytes, and for nobody else") {
  Fixture f;
  const std::string name = f.put("the letter").sha256_hex;
  CHECK(f.blobs->contains(ann, name));
  CHECK_FALSE(f.blobs->contains(bob, name));
  CHECK(f.blobs->path(bob, name).error().code() == Code::not_found);
  CHECK(f.loop.run_task(f.blobs->get(bob, name)).error().code() == Code::not_found);
  CHECK(f.blobs->open_reader(bob, name).error().code() == Code::not_found);
  // The same words as for one that nobody has.
  const std::string none(64, '0');
  CHECK(f.blobs->path(bob, name).error().message() == "there is no blob " + name);
  CHECK(f.blobs->path(bob, none).error().message() == "there is no blob " + none);
  std::vector<std::string> asked{name, none, "nonsense"};
  CHECK(*f.loop.run_task(f.blobs->missing(bob, asked, 1h)) == asked);
  CHECK(*f.loop.run_task(f.blobs->missing(ann, asked, 1h)) ==
        std::vector<std::string>{none, "nonsense"});
  // Having sent them is all it takes; on disk they are one file.
  f.put("the letter", bob);
  CHECK(*f.loop.run_task(f.blobs->get(bob, name)) == "the letter");
  CHECK(f.files() == 1);
  REQUIRE(f.loop.run_task(f.blobs->remove(ann, name)));
  CHECK_FALSE(f.blobs->contains(ann, name));
  CHECK(*f.loop.run_task(f.blobs->get(bob, name)) == "the letter");
  REQUIRE(f.loop.run_task(f.blobs->remove(bob, name)));
  CHECK(f.files() == 0);
}

TEST_CASE("owners outlive the server, and a folder of before there were owners has its first one") {
  Fixture f;
  const std::string name = f.put("kept").sha256_hex;
  f.open();
  CHECK(f.blobs->contains(ann, name));
  CHECK_FALSE(f.blobs->contains(bob, name));
  CHECK(f.shares->used(ann) == 4);
  // Without rows: as an older server left it.
  REQUIRE(f.loop.run_task(f.blobs->remove(ann, name)));
  std::filesystem::create_directories(f.folder / "blobs/b9");
  std::ofstream(f.folder / (std::string("blobs/b9/") + (hello + 2))) << "hello world";
  f.first_owner = bob;
  f.open();
  CHECK(*f.loop.run_task(f.blobs->get(bob, hello)) == "hello world");
  f.open();
  CHECK(f.blobs->contains(bob, hello));
}

TEST_CASE("what nothing refers to goes, and the disk gets its room back") {
  Fixture f;
  const std::string used = f.put("used").sha256_hex;
  const std::string both = f.put("both").sha256_hex;
  f.put("both", bob);
  f.put("unused");
  f.blobs->begin_marks();
  f.blobs->mark(ann, used);
  f.blobs->mark(bob, both);
  f.blobs->mark(bob, used);  // who does not own it marks nothing
  const BlobStore::Swept swept = f.sweep();
  CHECK(swept.blobs == 2);
  CHECK(swept.bytes == 6);
  CHECK(f.files() == 2);
  CHECK(f.blobs->contains(ann, used));
  CHECK_FALSE(f.blobs->contains(ann, both));
  CHECK(f.blobs->contains(bob, both));
  CHECK(f.shares->used(ann) == 4);
  f.open();
  CHECK_FALSE(f.blobs->contains(ann, both));
  CHECK(f.blobs->contains(ann, used));
}

TEST_CASE("what was sent, asked for or seen in use lately is not swept, nor what comes meanwhile") {
  Fixture f;
  f.keep_unused = 1h;
  f.open();
  const std::string fresh = f.put("fresh").sha256_hex;
  f.blobs->begin_marks();
  CHECK(f.sweep().blobs == 0);
  CHECK(f.blobs->contains(ann, fresh));
  // A new server does not know when it came, and waits.
  f.open();
  f.blobs->begin_marks();
  CHECK(f.sweep().blobs == 0);
  f.keep_unused = Duration{};
  f.open();
  f.blobs->keep(ann, fresh, 1h);
  f.blobs->begin_marks();
  CHECK(f.sweep().blobs == 0);
  f.open();
  f.blobs->begin_marks();
  // Sent again after the marks have begun.
  f.put("fresh");
  CHECK(f.sweep().blobs == 0);
  f.blobs->begin_marks();
  CHECK(f.sweep().blobs == 1);
  CHECK(f.files() == 0);
}

TEST_CASE("sending and sweeping the same bytes at one time loses nothing that was acknowledged") {
  Fixture f;
  async::TaskGroup tasks(f.loop);
  int stored = 0;
  const auto send = [](BlobStore& blobs, int& out) -> async::Task<void> {
    for (int i = 0; i < 100; ++i) {
      THAW_CO_TRY(const StoredBlob blob, co_await write_pieces(blobs, hello));
      THAW_CO_TRY(const std::string bytes, co_await blobs.get(ann, blob.sha256_hex));
      out += bytes == "hello world" ? 1 : 0;
      blobs.begin_marks();
      THAW_CO_TRY([[maybe_unused]] const auto swept, co_await blobs.sweep());
    }
    co_return ok();
  };
  // One task's sweep may take what another one has just sent and not read, as its keep is nothing;
  // what is there is whole, and the file is there exactly while somebody owns it.
  tasks.start("send", send(*f.blobs, stored));
  CHECK(*f.loop.run_task(tasks.join(Instant::max())));
  CHECK(stored == 100);
  f.put("hello world");
  f.blobs->begin_marks();
  tasks.start("send", send(*f.blobs, stored));
  f.blobs->keep(ann, hello, 1h);
  CHECK(*f.loop.run_task(tasks.join(Instant::max())));
  CHECK(stored == 200);
  CHECK(f.files() == 1);
}

TEST_CASE("files that no row names are removed, and only those") {
  Fixture f;
  const std::string name = f.put("kept").sha256_hex;
  std::filesystem::create_directories(f.folder / "blobs/b9");
  std::ofstream(f.folder / (std::string("blobs/b9/") + (hello + 2))) << "hello world";
  CHECK(f.files() == 2);
  REQUIRE(f.loop.run_task(f.blobs->remove_strays()));
  CHECK(f.files() == 1);
  CHECK(*f.loop.run_task(f.blobs->get(ann, name)) == "kept");
}

TEST_CASE("an owner has no more than its quota, half-sent blobs included, and others go on") {
  Fixture f;
  f.limits.bytes_per_owner = 1'000;
  f.limits.reserve_bytes = 0;
  f.open();
  f.put(std::string(600, 'a'));
  f.put(std::string(600, 'a'));  // the same: counted once
  CHECK(f.shares->used(ann) == 600);
  const auto refused = f.loop.run_task(f.blobs->put(ann, std::string(500, 'b')));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(refused.error().message().find("workspace_disk_gb") != std::string::npos);
  {
    auto writer = std::move(*f.blobs->create(ann));
    REQUIRE(f.loop.run_task(writer->write(std::string(300, 'c'))));
    CHECK(f.shares->used(ann) == 900);
    CHECK(f.loop.run_task(writer->write(std::string(300, 'c'))).error().code() ==
          Code::resource_exhausted);
  }
  CHECK(f.shares->used(ann) == 600);
  f.put(std::string(900, 'd'), bob);
  f.blobs->begin_marks();
  f.sweep();
  CHECK(f.shares->used(ann) == 0);
  f.put(std::string(900, 'e'));
  CHECK(f.files() == 1);
}

TEST_CASE("a piece that had no room may come again, and is there once") {
  Fixture f;
  f.limits.bytes_per_owner = 1'000;
  f.limits.reserve_bytes = 0;
  f.open();
  const std::string old = f.put(std::string(600, 'a')).sha256_hex;
  auto writer = std::move(*f.blobs->create(ann));
  REQUIRE(f.loop.run_task(writer->write(std::string(300, 'b'))));
  CHECK(f.loop.run_task(writer->write(std::string(300, 'c'))).error().code() ==
        Code::resource_exhausted);
  REQUIRE(f.loop.run_task(f.blobs->remove(ann, old)));
  REQUIRE(f.loop.run_task(writer->write(std::string(300, 'c'))));
  const auto stored = f.loop.run_task(writer->finish(""));
  REQUIRE(stored);
  CHECK(*f.loop.run_task(f.blobs->get(ann, stored->sha256_hex)) ==
        std::string(300, 'b') + std::string(300, 'c'));
  CHECK(f.shares->used(ann) == 600);
}

TEST_CASE("a put that cannot be stored takes along no blob that was acknowledged to another one") {
  Fixture f;
  f.queue_limit = 1;
  f.open();
  async::TaskGroup tasks(f.loop);
  int acknowledged = 0;
  int refused = 0;
  const auto put = [](BlobStore& blobs, int& good, int& bad) -> async::Task<void> {
    const auto stored = co_await blobs.put(ann, "the same bytes");
    ++(stored ? good : bad);
    co_return ok();
  };
  for (int i = 0; i < 16; ++i) {
    tasks.start("put", put(*f.blobs, acknowledged, refused));
  }
  REQUIRE(*f.loop.run_task(tasks.join(monotonic_now() + 20s)));
  CHECK(acknowledged + refused == 16);
  REQUIRE(acknowledged > 0);
  const std::string name = sha256_hex("the same bytes");
  CHECK(f.blobs->contains(ann, name));
  f.queue_limit = 10'000;
  f.open();
  CHECK(f.blobs->contains(ann, name));
  CHECK(*f.loop.run_task(f.blobs->get(ann, name)) == "the same bytes");
}
