// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/blob_gate.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "thaw/async/loop.h"
#include "thaw/gateway/http_router.h"
#include "thaw/gateway/public_error.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

constexpr const char* ann = "ac-ann";

// One request and what came back.
class FakeExchange final : public net::HttpExchange {
 public:
  FakeExchange(std::string method, const std::string& url, std::string body)
      : body_(std::move(body)) {
    request_.method = std::move(method);
    request_.target = url.substr(url.find('/', std::string("http://").size()));
  }
  int status = 0;
  net::Headers headers;
  std::string answer;

  const net::HttpRequest& request() const override { return request_; }
  async::Task<std::optional<std::string>> read() override {
    if (body_.empty()) {
      co_return std::nullopt;
    }
    co_return std::exchange(body_, {});
  }
  async::Task<void> respond(int code, net::Headers given) override {
    status = code;
    headers = std::move(given);
    co_return ok();
  }
  async::Task<void> write(std::string data) override {
    answer += data;
    co_return ok();
  }
  async::Task<void> finish() override { co_return ok(); }
  bool responded() const override { return status != 0; }
  async::Task<void> until_gone() override { co_return ok(); }
  bool is_websocket_upgrade() const override { return false; }
  async::Task<std::unique_ptr<net::WebSocket>> accept_websocket(std::string,
                                                                net::Headers) override {
    co_return Error::unimplemented("fake");
  }

 private:
  net::HttpRequest request_;
  std::string body_;
};

struct Fixture {
  store::TempFolder folder;
  async::Loop loop;
  async::Pool pool{2};
  std::unique_ptr<store::Database> database = open_database();
  store::DiskShares shares{folder.path(), {}};
  std::unique_ptr<store::BlobStore> blobs = open_blobs();
  store::SecretBox box = std::move(*store::SecretBox::open(folder / "key"));
  PublicErrors errors{{folder.path()}};
  BlobGate gate{*blobs, box, [this](const Error& error) { return errors.told(error); }};

  ~Fixture() {
    blobs.reset();
    pool.join();
    database->close();
  }
  std::unique_ptr<store::Database> open_database() {
    store::DatabaseOptions options;
    options.path = folder / "thaw.db";
    options.migrations = store::blob_migrations();
    return std::move(*store::Database::open(loop, std::move(options)));
  }
  std::unique_ptr<store::BlobStore> open_blobs() {
    store::BlobOptions options;
    options.folder = folder / "blobs";
    return std::move(*store::BlobStore::open(pool, *database, shares, std::move(options)));
  }
  FakeExchange ask(const std::string& method, const std::string& url, std::string body = {}) {
    FakeExchange exchange(method, url, std::move(body));
    REQUIRE(loop.run_task(gate.serve(exchange)));
    return exchange;
  }
  std::string file_of(const std::string& name) {
    return folder / ("blobs/" + name.substr(0, 2) + "/" + name.substr(2));
  }
};

}  // namespace

TEST_CASE("an upload is completed as often as it is asked for, with the same answer") {
  Fixture f;
  const std::string bytes(9u << 20, 'x');  // more than is hashed at a time
  const std::string name = store::sha256_hex(bytes);
  const UploadUrls urls = f.gate.upload_urls({"http", "host:1"}, ann, name, bytes.size());
  CHECK(f.ask("POST", urls.completion).status == 404);
  CHECK(f.ask("PUT", urls.part, bytes).status == 200);
  const FakeExchange first = f.ask("POST", urls.completion);
  CHECK(first.status == 200);
  // By now only the blob itself knows.
  CHECK(f.ask("POST", urls.completion).answer == first.answer);
  CHECK(f.ask("GET", f.gate.download_url({"http", "host:1"}, ann, name)).answer == bytes);
}

TEST_CASE("no answer of the blobs' routes says where the server keeps its files") {
  Fixture f;
  const std::string name = store::sha256_hex("bytes");
  const UploadUrls urls = f.gate.upload_urls({"http", "host:1"}, ann, name, 5);
  const std::string download = f.gate.download_url({"http", "host:1"}, ann, name);
  CHECK(f.ask("GET", download).status == 404);
  const FakeExchange wrong = f.ask("PUT", urls.part, "bytez");
  CHECK(wrong.status == 400);
  CHECK(f.ask("PUT", urls.part, "bytes").status == 200);
  std::vector<FakeExchange> failed{wrong};
  std::filesystem::permissions(f.file_of(name), std::filesystem::perms::owner_all);
  std::ofstream(f.file_of(name)) << "other";
  // The head of the answer is out before the content is known to be wrong: the connection breaks.
  FakeExchange damaged("GET", download, {});
  CHECK(!f.loop.run_task(f.gate.serve(damaged)));
  failed.push_back(f.ask("POST", urls.completion));  // knows the digest of the part
  failed.push_back(f.ask("POST", urls.completion));
  CHECK(failed.back().status == 500);
  std::filesystem::remove(f.file_of(name));
  std::filesystem::create_directory(f.file_of(name));
  failed.push_back(f.ask("POST", urls.completion));
  std::filesystem::remove_all(f.folder / "blobs");
  failed.push_back(f.ask("PUT", urls.part, "bytes"));
  CHECK(failed.back().status >= 400);
  for (const FakeExchange& one : failed) {
    CHECK(one.answer.find(f.folder.path()) == std::string::npos);
  }
}

TEST_CASE("what a route has not answered itself is told without the server's folders") {
  async::Loop loop;
  HttpRouter router;
  router.add("/x", [](net::HttpExchange&) -> async::Task<void> {
    co_return Error::not_found("cannot open /var/lib/thaw/secret: it is gone");
  });
  PublicErrors errors({"/var/lib/thaw"});
  router.told = [&errors](const Error& error) { return errors.told(error); };
  FakeExchange exchange("GET", "http://host/x", {});
  REQUIRE(loop.run_task(router.serve(exchange)));
  CHECK(exchange.status == 404);
  CHECK(exchange.answer.find("/var/lib") == std::string::npos);
  CHECK(exchange.answer.find("it is gone") != std::string::npos);
}
