// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/blob_store.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;

namespace {

struct Fixture {
  TempFolder folder;
  async::Loop loop;
  async::Pool pool{2};
  std::unique_ptr<BlobStore> blobs = std::move(*BlobStore::open(pool, folder / "blobs"));

  StoredBlob put(std::string bytes) {
    auto blob = loop.run_task(blobs->put(std::move(bytes)));
    REQUIRE(blob);
    return *blob;
  }
  std::size_t drafts() const {
    const std::filesystem::directory_iterator begin(folder / "blobs/tmp");
    return static_cast<std::size_t>(std::distance(begin, {}));
  }
};

async::Task<StoredBlob> write_pieces(BlobStore& blobs, std::string expected) {
  THAW_CO_TRY(const auto writer, blobs.create());
  for (const char* piece : {"hello ", "", "world"}) {
    THAW_CO_TRY_VOID(co_await writer->write(piece));
  }
  co_return co_await writer->finish(std::move(expected));
}

async::Task<std::string> read_pieces(BlobStore& blobs, std::string name, std::size_t size) {
  THAW_CO_TRY(const auto reader, blobs.open_reader(name));
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
  CHECK(f.blobs->contains(hello));
  CHECK(*f.loop.run_task(f.blobs->get(hello)) == "hello world");
  CHECK(*f.loop.run_task(read_pieces(*f.blobs, hello, 3)) == "hello world");
  struct stat status {};
  REQUIRE(::stat(f.blobs->path(hello)->c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0444);
  CHECK(f.drafts() == 0);
}

TEST_CASE("bytes that are not what was announced are refused and leave nothing") {
  Fixture f;
  const auto blob = f.loop.run_task(write_pieces(*f.blobs, std::string(64, '0')));
  REQUIRE_FALSE(blob);
  CHECK(blob.error().code() == Code::invalid_argument);
  CHECK_FALSE(f.blobs->contains(hello));
  CHECK(f.drafts() == 0);
}

TEST_CASE("a writer that is dropped leaves nothing, and an earlier run's drafts are removed") {
  Fixture f;
  {
    auto writer = f.blobs->create();
    REQUIRE(writer);
    REQUIRE(f.loop.run_task((*writer)->write("half")));
    CHECK(f.drafts() == 1);
    std::filesystem::copy(f.folder / "blobs/tmp/1", f.folder / "blobs/tmp/left");
  }
  CHECK(f.drafts() == 1);
  f.blobs = std::move(*BlobStore::open(f.pool, f.folder / "blobs"));
  CHECK(f.drafts() == 0);
}

TEST_CASE("a finished writer takes no more bytes") {
  Fixture f;
  auto writer = f.blobs->create();
  REQUIRE(writer);
  REQUIRE(f.loop.run_task((*writer)->finish("")));
  CHECK_FALSE(f.loop.run_task((*writer)->write("more")));
  CHECK_FALSE(f.loop.run_task((*writer)->finish("")));
}

TEST_CASE("an empty blob is a blob") {
  Fixture f;
  const StoredBlob blob = f.put("");
  CHECK(blob.size == 0);
  CHECK(*f.loop.run_task(f.blobs->get(blob.sha256_hex)) == "");
  CHECK(*f.loop.run_task(read_pieces(*f.blobs, blob.sha256_hex, 10)) == "");
}

TEST_CASE("a damaged blob is never read as if it were whole") {
  Fixture f;
  const std::string bytes(1'000'000, 'b');
  const std::string name = f.put(bytes).sha256_hex;
  const std::string path = *f.blobs->path(name);
  SUBCASE("a byte is changed") { overwrite(path, 500'000, "X"); }
  SUBCASE("it is shorter") { shorten(path, 999'999); }
  SUBCASE("it is empty") { shorten(path, 0); }
  SUBCASE("it is longer") { shorten(path, 1'000'001); }
  const auto whole = f.loop.run_task(f.blobs->get(name));
  REQUIRE_FALSE(whole);
  CHECK(whole.error().code() == Code::data_loss);
  const auto pieces = f.loop.run_task(read_pieces(*f.blobs, name, 65'536));
  REQUIRE_FALSE(pieces);
  CHECK(pieces.error().code() == Code::data_loss);
  // Putting the same bytes again heals it.
  CHECK(f.put(bytes).sha256_hex == name);
  CHECK(*f.loop.run_task(f.blobs->get(name)) == bytes);
}

TEST_CASE("a file that becomes shorter while it is read is noticed") {
  Fixture f;
  const std::string name = f.put(std::string(100'000, 'c')).sha256_hex;
  auto reader = f.blobs->open_reader(name);
  REQUIRE(reader);
  REQUIRE(f.loop.run_task((*reader)->read(10)));
  shorten(*f.blobs->path(name), 50);
  const auto rest = f.loop.run_task((*reader)->read(1 << 20));
  REQUIRE_FALSE(rest);
  CHECK(rest.error().code() == Code::data_loss);
}

TEST_CASE("a name that is not a SHA-256 reaches no file") {
  Fixture f;
  for (const std::string& name :
       {std::string(), std::string("../../etc/passwd"), std::string(64, 'G'), std::string(64, '/'),
        std::string(63, 'a')}) {
    CHECK_FALSE(f.blobs->contains(name));
    CHECK(f.blobs->path(name).error().code() == Code::invalid_argument);
    CHECK(f.loop.run_task(f.blobs->get(name)).error().code() == Code::invalid_argument);
  }
  CHECK(f.blobs->path(hello).error().code() == Code::not_found);
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
  CHECK(*f.loop.run_task(f.blobs->get(hello)) == "hello world");
}
