// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_manifest.h"

#include <doctest/doctest.h>

#include "thaw/codec/json.h"

using namespace thaw;
using namespace thaw::image;
using codec::Json;

namespace {

std::string digest(char c) { return "sha256:" + std::string(64, c); }

Json descriptor(char c, std::uint64_t size = 10) { return {{"digest", digest(c)}, {"size", size}}; }

Json manifest() {
  return {{"schemaVersion", 2},
          {"config", descriptor('c')},
          {"layers", Json::array({descriptor('1', 100), descriptor('2', 200)})}};
}

Json index(std::vector<std::string> platforms) {
  Json list = Json::array();
  char c = 'a';
  for (const std::string& platform : platforms) {
    Json one = descriptor(c++);
    const auto slash = platform.find('/');
    one["platform"] = {{"os", platform.substr(0, slash)},
                       {"architecture", platform.substr(slash + 1)}};
    list.push_back(one);
  }
  return {{"schemaVersion", 2}, {"manifests", list}};
}

const Platform amd64{"amd64"};

Error refused(const Json& json) {
  auto read = read_manifest(json.dump(), amd64);
  REQUIRE(!read);
  return read.error();
}

}  // namespace

TEST_CASE("a manifest names its configuration and its layers") {
  const auto read = read_manifest(manifest().dump(), amd64);
  REQUIRE(read);
  const auto& found = std::get<Manifest>(*read);
  CHECK(found.config.digest == digest('c'));
  REQUIRE(found.layers.size() == 2);
  CHECK(found.layers[1].digest == digest('2'));
  CHECK(found.layers[1].size == 200);
}

TEST_CASE("of an index the manifest for this machine's platform is taken") {
  const auto read =
      read_manifest(index({"windows/amd64", "linux/arm64", "linux/amd64"}).dump(), amd64);
  REQUIRE(read);
  CHECK(std::get<Descriptor>(*read).digest == digest('c'));
}

TEST_CASE("an index without this machine's platform names those that it has") {
  const Error error = refused(index({"linux/arm64", "linux/s390x", "unknown/unknown"}));
  CHECK(error.code() == Code::not_found);
  CHECK(error.message().find("linux/amd64") != std::string::npos);
  CHECK(error.message().find("linux/arm64, linux/s390x") != std::string::npos);
  CHECK(error.message().find("unknown") == std::string::npos);
}

TEST_CASE("schema 1 says what to do") {
  Json old = manifest();
  old["schemaVersion"] = 1;
  CHECK(refused(old).code() == Code::unimplemented);
}

TEST_CASE("what is no manifest is an error, whatever it is") {
  for (const char* text : {"", "[]", "null", "{", "{}", "\"x\"", "{\"schemaVersion\":2}"}) {
    CAPTURE(text);
    CHECK(!read_manifest(text, amd64));
  }
  Json wrong = manifest();
  wrong["layers"][0]["digest"] = "sha256:../../etc/passwd";
  CHECK(refused(wrong).code() == Code::failed_precondition);
  wrong = manifest();
  wrong["layers"][0]["size"] = -1;
  CHECK(refused(wrong).code() == Code::failed_precondition);
  wrong = manifest();
  wrong["layers"][0]["size"] = std::uint64_t{1} << 60;
  CHECK(refused(wrong).code() == Code::failed_precondition);
  wrong = manifest();
  wrong["config"]["size"] = 1u << 30;
  CHECK(refused(wrong).code() == Code::failed_precondition);
  wrong = manifest();
  for (int i = 0; i < 300; ++i) {
    wrong["layers"].push_back(descriptor('3'));
  }
  CHECK(refused(wrong).code() == Code::failed_precondition);
  CHECK(!read_manifest(std::string(100'000, '['), amd64));
  CHECK(!read_manifest("{\"a\":" + std::string(100'000, '['), amd64));
  CHECK(!read_manifest(std::string(most_manifest_bytes + 1, ' '), amd64));
}

TEST_CASE("a configuration is what the lines of a Dockerfile would set") {
  const Json json = {{"architecture", "amd64"},
                     {"os", "linux"},
                     {"config",
                      {{"Env", {"PATH=/bin", "A=1", "odd", "A=2"}},
                       {"WorkingDir", "/srv/../app"},
                       {"User", "1000:1000"},
                       {"Entrypoint", {"/start"}},
                       {"Cmd", {"serve", "--fast"}},
                       {"ExposedPorts", {{"80/tcp", Json::object()}}},
                       {"Shell", {"/bin/bash", "-c"}},
                       {"OnBuild", {"COPY . /app"}},
                       {"StopSignal", "SIGQUIT"}}},
                     {"rootfs", {{"type", "layers"}, {"diff_ids", {digest('1'), digest('2')}}}}};
  const auto read = read_config_file(json.dump(), amd64);
  REQUIRE(read);
  const ImageConfig& config = read->config;
  CHECK(config.env == std::vector<std::string>{"PATH=/bin", "A=2"});
  CHECK(config.workdir == "/app");
  CHECK(config.user == "1000:1000");
  CHECK(config.entrypoint == std::vector<std::string>{"/start"});
  CHECK(config.cmd == std::vector<std::string>{"serve", "--fast"});
  CHECK(config.shell == std::vector<std::string>{"/bin/bash", "-c"});
  CHECK(config.onbuild == std::vector<std::string>{"COPY . /app"});
  CHECK(config.stop_signal == 3);
  CHECK(read->layer_ids == std::vector<std::string>{digest('1'), digest('2')});
}

TEST_CASE("labels are text, and the port is the lowest of TCP") {
  Json json = {{"config",
                {{"Labels", {{"a", "1"}, {"b", 2}, {"c", nullptr}}},
                 {"ExposedPorts",
                  {{"9000/tcp", Json::object()},
                   {"5000/tcp", Json::object()},
                   {"53/udp", {}},
                   {"0", {}},
                   {"70000/tcp", {}},
                   {"x", {}},
                   {"", {}}}}}},
               {"rootfs", {{"diff_ids", Json::array({digest('1')})}}}};
  auto read = read_config_file(json.dump(), amd64);
  REQUIRE(read);
  CHECK(read->notes.labels == std::map<std::string, std::string>{{"a", "1"}});
  CHECK(read->notes.port == 5000);
  json["config"] = {{"Labels", {"a"}}, {"ExposedPorts", "5000"}};
  read = read_config_file(json.dump(), amd64);
  REQUIRE(read);
  CHECK(read->notes.labels.empty());
  CHECK(read->notes.port == 0);
}

TEST_CASE("a configuration without settings sets nothing, and null is none") {
  Json json = {{"config", {{"Env", nullptr}, {"Cmd", nullptr}}},
               {"rootfs", {{"diff_ids", Json::array()}}}};
  auto read = read_config_file(json.dump(), amd64);
  REQUIRE(read);
  CHECK(read->config.env.empty());
  CHECK(read->config.stop_signal == 0);
  json.erase("config");
  CHECK(read_config_file(json.dump(), amd64));
}

TEST_CASE("a configuration of another platform or of something else is told apart") {
  Json json = {{"architecture", "arm64"}, {"rootfs", {{"diff_ids", Json::array()}}}};
  auto other = read_config_file(json.dump(), amd64);
  REQUIRE(!other);
  CHECK(other.error().message().find("arm64") != std::string::npos);
  CHECK(read_config_file("{}", amd64).error().code() == Code::unimplemented);
  json = {{"config", {{"Cmd", {1}}}}, {"rootfs", {{"diff_ids", Json::array()}}}};
  CHECK(!read_config_file(json.dump(), amd64));
  json = {{"config", {{"Env", {std::string("A=\0b", 4)}}}},
          {"rootfs", {{"diff_ids", Json::array()}}}};
  CHECK(!read_config_file(json.dump(), amd64));
  json = {{"rootfs", {{"diff_ids", {"sha256:x"}}}}};
  CHECK(!read_config_file(json.dump(), amd64));
}
