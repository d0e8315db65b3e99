// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/push_request.h"

#include <doctest/doctest.h>

#include "thaw/codec/json.h"

using namespace thaw;
using namespace thaw::dialect::native;
using codec::Json;

namespace {

Json least() { return {{"name", "hello"}, {"dockerfile", {"FROM debian:bookworm-slim"}}}; }

std::string refusal(const Json& json) {
  const auto read = read_push_request(codec::dump_json(json));
  return read ? "none" : read.error().message();
}

}  // namespace

TEST_CASE("a function needs a name and a Dockerfile, and has sensible values for the rest") {
  const auto read = read_push_request(codec::dump_json(least()));
  REQUIRE_MESSAGE(read, (read ? "" : read.error().to_string()));
  CHECK(read->name == "hello");
  CHECK(read->preset == "plain");
  CHECK(read->contract.port == 8080);
  CHECK(read->scaling.max_concurrent_inputs == 1);
  CHECK(read->timeout == 5min);
  CHECK(read->callers == PushRequest::Callers::by_place);
}

TEST_CASE("what stands beside a preset comes before what it says") {
  Json json = least();
  json["preset"] = "cog";
  auto read = read_push_request(codec::dump_json(json));
  REQUIRE(read);
  CHECK(read->contract.port == 5000);
  CHECK(read->contract.ready.by == model::PushContract::Ready::By::field);
  json["port"] = 7000;
  json["ready_path"] = "/ok";
  json["arguments"] = {"serve", "--fast"};
  read = read_push_request(codec::dump_json(json));
  REQUIRE(read);
  CHECK(read->contract.port == 7000);
  CHECK(read->contract.ready.by == model::PushContract::Ready::By::status);
  CHECK(read->contract.arguments.size() == 2);
  CHECK(read->contract.wire == model::PushContract::Wire::http1);
  json["preset"] = "grpc";
  CHECK(read_push_request(codec::dump_json(json))->contract.wire == model::PushContract::Wire::h2c);
  json["wire"] = "http1";
  CHECK(read_push_request(codec::dump_json(json))->contract.wire ==
        model::PushContract::Wire::http1);
}

TEST_CASE("a push says how many versions stay, and what its own gets of aliases") {
  Json json = least();
  json["keep_versions"] = 3;
  json["aliases"] = {{"live", 10}, {"beta", 100}};
  const auto read = read_push_request(codec::dump_json(json));
  REQUIRE(read);
  CHECK(read->keep_versions == 3);
  CHECK(read->shares == std::map<std::string, unsigned>{{"live", 10}, {"beta", 100}});
  CHECK(read_push_request(codec::dump_json(least()))->keep_versions == 0);
}

TEST_CASE("snapshots are asked for, and who has them may be told of restores") {
  Json json = least();
  CHECK(read_push_request(codec::dump_json(json))->snapshot_at == model::SnapshotAt::never);
  json["snapshot"] = "ready";
  json["restored_path"] = "/renew";
  const auto read = read_push_request(codec::dump_json(json));
  REQUIRE(read);
  CHECK(read->snapshot_at == model::SnapshotAt::ready);
  CHECK(read->contract.restored_path == "/renew");
  json["restored_path"] = "renew";
  CHECK(refusal(json).find("path of restores") != std::string::npos);
}

TEST_CASE("what makes no sense is refused at the door, by its name") {
  struct Row {
    const char* field;
    Json value;
  };
  const std::string digest(64, 'a');
  const auto file = [&](const std::string& path, const std::string& sha, Json mode) {
    return Json::array({{{"path", path}, {"sha256", sha}, {"mode", mode}}});
  };
  const Row rows[] = {
      {"keep_versions", 0},
      {"keep_versions", 1001},
      {"aliases", {{"live", 0}}},
      {"aliases", {{"live", 101}}},
      {"aliases", {{"live", 1.5}}},
      {"aliases", {{"Live", 1}}},
      {"aliases", {{"de-1", 1}}},
      {"name", "Hello"},
      {"name", "../x"},
      {"name", std::string(200, 'a')},
      {"name", 7},
      {"dockerfile", Json::array()},
      {"dockerfile", Json::array({std::string(2 << 20, 'x')})},
      {"dockerfile", "FROM x"},
      {"files", file("relative", digest, 420)},
      {"files", file("/a/../b", digest, 420)},
      {"files", file("/a", "short", 420)},
      {"files", file("/a", digest, 1 << 20)},
      {"files", 5},
      {"env", Json{{"", "x"}}},
      {"env", Json{{"A=B", "x"}}},
      {"env", Json{{"A", std::string(1 << 20, 'x')}}},
      {"build_args", Json{{std::string("a\0b", 3), "x"}}},
      {"preset", "unheard-of"},
      {"wire", "h3"},
      {"wire", 2},
      {"snapshot", "asked"},
      {"snapshot", true},
      {"restored_path", "/renew"},
      {"port", 0},
      {"port", 70'000},
      {"port", 1e300},
      {"port", "80"},
      {"min", -1},
      {"max", 1'000'000'000},
      {"concurrency", 0},
      {"memory_bytes", -5},
      {"idle_s", 0},
      {"timeout_s", 1e18},
      {"startup_timeout_s", nullptr},
      {"callers", "everybody"},
      {"ready_path", "no slash"},
  };
  for (const Row& row : rows) {
    Json json = least();
    json[row.field] = row.value;
    CAPTURE(row.field);
    CAPTURE(codec::dump_json(row.value).substr(0, 100));
    CHECK(refusal(json) != "none");
  }
  for (const char* text : {"", "[]", "null", "{", "7", "\"x\""}) {
    CHECK_FALSE(read_push_request(text));
  }
}

TEST_CASE("a definition comes back as it was written, and a damaged one is an error") {
  const Definition definition{"tgi", true, {{"A", "1"}, {"B", ""}}};
  const auto read = read_definition(write_definition(definition));
  REQUIRE(read);
  CHECK(read->preset == "tgi");
  CHECK(read->for_tokens);
  CHECK(read->env == definition.env);
  CHECK_FALSE(read_definition(""));
  CHECK_FALSE(read_definition("{\"env\":7}"));
}
