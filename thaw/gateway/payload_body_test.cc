// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/payload_body.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

// A client that sends pieces and keeps what it is answered.
class FakeExchange final : public net::HttpExchange {
 public:
  net::HttpRequest asked;
  std::vector<std::string> sends;
  std::size_t kept = 0;
  int status = 0;
  net::Headers headers;
  std::string answer;
  std::size_t largest_write = 0;

  const net::HttpRequest& request() const override { return asked; }
  async::Task<std::optional<std::string>> read() override {
    if (next_ == sends.size()) {
      co_return std::nullopt;
    }
    co_return std::optional(sends[next_++]);
  }
  async::Task<void> respond(int given, net::Headers fields) override {
    status = given;
    headers = std::move(fields);
    co_return ok();
  }
  async::Task<void> write(std::string data) override {
    largest_write = std::max(largest_write, data.size());
    answer += data;
    co_return ok();
  }
  async::Task<void> finish() override { co_return ok(); }
  bool responded() const override { return status != 0; }
  async::Task<void> until_gone() override { co_return ok(); }
  bool is_websocket_upgrade() const override { return false; }
  async::Task<std::unique_ptr<net::WebSocket>> accept_websocket(std::string,
                                                                net::Headers) override {
    co_return Error::unimplemented("no WebSocket");
  }
  Result<void> keep(std::size_t bytes) override {
    kept += bytes;
    return ok();
  }

 private:
  std::size_t next_ = 0;
};

struct House {
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  async::Loop loop;
  async::Pool pool{1};
  store::DiskShares shares{folder.path(), {.bytes_per_owner = 0, .reserve_bytes = 0}};
  std::unique_ptr<store::Database> database = open();
  std::unique_ptr<store::BlobStore> blobs =
      std::move(*store::BlobStore::open(pool, *database, shares, {.folder = folder / "blobs"}));
  queue::Payloads payloads{blobs.get(), &shares, 1'000};
  const model::WorkspaceId ann{"ac-ann"};

  std::unique_ptr<store::Database> open() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = store::blob_migrations();
    return std::move(*store::Database::open(loop, options));
  }
  Result<model::Payload> receive(FakeExchange& exchange, std::uint64_t most = 10'000'000) {
    return loop.run_task(receive_body(exchange, payloads, ann, 500, most));
  }
  Result<void> answer(FakeExchange& exchange, model::Payload payload) {
    return loop.run_task(answer_with(exchange, 203, {}, payloads, ann, std::move(payload)));
  }
};

}  // namespace

TEST_CASE("a small body is bytes, a large one a blob, of which little is in memory") {
  House house;
  FakeExchange small;
  small.sends = {"some ", "bytes"};
  const auto few = house.receive(small);
  REQUIRE(few);
  CHECK(few->bytes == "some bytes");
  CHECK(!few->rest);
  FakeExchange large;
  std::string all;
  for (int i = 0; i < 80; ++i) {
    large.sends.push_back(std::string(60'000, static_cast<char>('a' + i % 26)));
    all += large.sends.back();
  }
  const auto many = house.receive(large);
  REQUIRE(many);
  CHECK(many->bytes.empty());
  CHECK(many->length() == all.size());
  CHECK(large.kept < 2'000'000);
  CHECK(house.loop.run_task(house.payloads.whole(house.ann, *many))->bytes == all);

  FakeExchange asks;
  model::Payload payload = *many;
  payload.bytes = "head ";
  REQUIRE(house.answer(asks, payload));
  CHECK(asks.status == 203);
  CHECK(asks.headers.find("content-length") == std::to_string(all.size() + 5));
  CHECK(asks.answer == "head " + all);
  CHECK(asks.largest_write < 1'000'000);
  FakeExchange looks;
  looks.asked.method = "HEAD";
  REQUIRE(house.answer(looks, payload));
  CHECK(looks.headers.find("content-length") == std::to_string(all.size() + 5));
  CHECK(looks.answer.empty());
}

TEST_CASE("a body that is too large leaves nothing, and bytes that are gone are told of") {
  House house;
  FakeExchange large;
  for (int i = 0; i < 40; ++i) {
    large.sends.push_back(std::string(60'000, 'x'));
  }
  const auto refused = house.receive(large, 2'000'000);
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::out_of_range);
  FakeExchange announces;
  announces.asked.headers.add("content-length", "2000001");
  announces.sends = {"never read"};
  CHECK(house.receive(announces, 2'000'000).error().code() == Code::out_of_range);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(house.folder / "blobs")) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  CHECK(files == 0);
  CHECK(house.shares.used("ac-ann") == 0);
  FakeExchange again;
  again.sends = {std::string(2'000, 'x')};
  const auto payload = house.receive(again);
  REQUIRE(payload);
  std::filesystem::remove_all(house.folder / "blobs");
  FakeExchange asks;
  CHECK(house.answer(asks, *payload).error().code() == Code::data_loss);
  CHECK(!asks.responded());
}
