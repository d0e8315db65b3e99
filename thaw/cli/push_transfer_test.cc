// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_transfer.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "thaw/codec/sha256.h"
#include "thaw/net/server.h"

using namespace thaw;
using namespace thaw::cli;
namespace fs = std::filesystem;

namespace {

std::string digest_of(const std::string& text) {
  codec::Sha256 digest;
  digest.update(text);
  return digest.hex();
}

// Speaks Thaw's own API as docs/reference/api.md has it, at an admin socket and a port.
class FakeServer {
 public:
  std::map<std::string, std::string> contents;  // what it has, by digest
  std::set<std::string> completed;
  std::string published;
  std::vector<std::string> answer;  // to what is published, in pieces
  int upload_status = 200;

  explicit FakeServer(const std::string& folder)
      : server_(loop, table_, [this](net::HttpExchange& e) { return serve(*this, e); }, {}) {
    const auto port = server_.listen_tcp("127.0.0.1", 0);
    REQUIRE(port);
    url_ = "http://127.0.0.1:" + std::to_string(*port);
    REQUIRE(server_.listen_unix(folder + "/admin.sock", "admin"));
    RunningServer self;
    self.data = folder;
    self.url = url_;
    client.emplace(loop, std::move(self));
  }
  ~FakeServer() {
    client.reset();
    (void)loop.run_task(server_.drain(monotonic_now()));
  }

  async::Loop loop;
  std::optional<ServerClient> client;

 private:
  static async::Task<void> serve(FakeServer& self, net::HttpExchange& exchange) {
    THAW_CO_TRY(const std::string body, co_await exchange.read_all(64u << 20));
    const std::string target = exchange.request().target;
    if (target == "/api/v1/uploads") {
      co_return co_await exchange.answer(200, "application/json", self.missing(body));
    }
    if (target == "/api/v1/functions") {
      self.published = body;
      THAW_CO_TRY_VOID(co_await exchange.respond(200, {}));
      for (const std::string& piece : self.answer) {
        THAW_CO_TRY_VOID(co_await exchange.write(piece));
      }
      co_return co_await exchange.finish();
    }
    const std::string digest = target.substr(target.rfind('/') + 1);
    if (target.starts_with("/part/")) {
      self.contents[digest] = body;
    } else if (target.starts_with("/completion/")) {
      self.completed.insert(digest);
    }
    co_return co_await exchange.answer(self.upload_status, "text/plain", "the disk is full");
  }

  std::string missing(const std::string& body) const {
    codec::Json out = codec::Json::array();
    const auto asked = codec::parse_json(body);
    REQUIRE(asked);
    for (const auto& file : (*asked)["files"]) {
      const std::string digest = file["sha256"];
      if (!contents.contains(digest)) {
        out.push_back({{"sha256", digest},
                       {"part", url_ + "/part/" + digest},
                       {"completion", url_ + "/completion/" + digest}});
      }
    }
    return codec::dump_json({{"missing", out}});
  }

  net::GrpcTable table_;
  net::Server server_;
  std::string url_;
};

struct House {
  std::string folder = make_folder();
  std::optional<FakeServer> server;
  std::vector<FolderFile> files;

  House() { server.emplace(folder); }
  ~House() {
    server.reset();
    fs::remove_all(folder);
  }
  static std::string make_folder() {
    std::string name = (fs::temp_directory_path() / "thaw-transfer-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    return name;
  }
  void add(const std::string& name, const std::string& text) {
    std::ofstream(folder + "/" + name) << text;
    files.push_back({"/" + name, folder + "/" + name, digest_of(text), text.size(), 0644});
  }
  Result<void> send() { return server->loop.run_task(send_files(*server->client, files)); }
  Result<codec::Json> publish(std::vector<std::string> answer, std::string& printed) {
    server->answer = std::move(answer);
    const BuildOutput output = [&printed](std::string_view text) { printed += text; };
    return server->loop.run_task(cli::publish(*server->client, "{}", output));
  }
};

}  // namespace

TEST_CASE("what the server has is not sent, and what is in the folder twice is sent once") {
  House house;
  house.add("a", "one");
  house.add("b", "one");
  house.add("c", "two");
  house.add("empty", "");
  for (int i = 0; i < 50; ++i) {
    house.add("many" + std::to_string(i), std::to_string(i));
  }
  house.add("large", std::string(17u << 20, 'x'));
  house.server->contents[digest_of("two")] = "from before";
  REQUIRE(house.send());
  CHECK(house.server->completed.size() == 53);
  CHECK_FALSE(house.server->completed.contains(digest_of("two")));
  for (const auto& [digest, text] : house.server->contents) {
    CHECK((text == "from before" || digest_of(text) == digest));
  }
  house.server->completed.clear();
  REQUIRE(house.send());
  CHECK(house.server->completed.empty());
}

TEST_CASE("a file that cannot be sent is named with the server's reason") {
  House house;
  house.add("a", "one");
  house.server->upload_status = 507;
  const auto sent = house.send();
  REQUIRE_FALSE(sent);
  CHECK(sent.error().message().find("/a: ") != std::string::npos);
  CHECK(sent.error().message().find("the disk is full") != std::string::npos);
}

TEST_CASE("a file that is shorter now than it was is named, and the others are not to blame") {
  House house;
  house.add("a", "one and more");
  std::ofstream(house.folder + "/a") << "one";
  const auto sent = house.send();
  REQUIRE_FALSE(sent);
  CHECK(sent.error().message().find("/a changes while it is pushed") != std::string::npos);
  CHECK(house.server->completed.empty());
  house.files.clear();
  house.add("b", "two");
  CHECK(house.send());
}

TEST_CASE("a build's output is passed on, and its end is the function or why there is none") {
  House house;
  std::string printed;
  const auto function = house.publish({"{\"log\": \"step 1\\n\"}\n{\"lo", "g\": \"step 2\\n\"}\n",
                                       "{\"function\": {\"name\": \"a\"}}"},
                                      printed);
  REQUIRE(function);
  CHECK((*function)["name"] == "a");
  CHECK(printed == "step 1\nstep 2\n");
  CHECK(house.server->published == "{}");
  const auto refused = house.publish({"{\"error\": \"no such base\"}\n"}, printed);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message() == "no such base");
  CHECK_FALSE(house.publish({"{\"log\": \"half\"}\n"}, printed));
  CHECK_FALSE(house.publish({"garbage\n"}, printed));
}
