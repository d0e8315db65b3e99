// SPDX-License-Identifier: Apache-2.0
// The puller against registries that do what registries of strangers do.
#include "thaw/image/image_puller.h"

#include <doctest/doctest.h>

#include "thaw/async/task_group.h"
#include "thaw/image/image_fixture_test.h"
#include "thaw/image/registry_fixture_test.h"

using namespace thaw;
using namespace thaw::image;
using codec::Json;

namespace {

bool may_unpack() {
  static const bool may = ::geteuid() == 0;
  if (!may) {
    std::puts("skipped: layers are unpacked by root only");
  }
  return may;
}

std::string layer(const std::string& name, std::size_t bytes = 10) {
  return TarText().file(name, std::string(bytes, 'x')).str();
}

// Bytes that no compression makes smaller.
std::string noise(std::size_t bytes) {
  std::string out;
  std::uint32_t state = 1;
  while (out.size() < bytes) {
    state = state * 1664525 + 1013904223;
    out.push_back(static_cast<char>(state >> 24));
  }
  return out;
}

struct House {
  TempFolder temp;
  async::Loop loop;
  async::Pool pool{4};
  std::unique_ptr<LayerStore> store;
  std::unique_ptr<ImagePuller> puller;
  std::string output;

  explicit House(RegistrySettings settings = {}) {
    auto opened = LayerStore::open(temp / "layers", temp / "bases");
    REQUIRE(opened);
    store = std::move(*opened);
    puller = std::make_unique<ImagePuller>(loop, pool, *store, std::move(settings));
  }
  BuildLog log() {
    return BuildLog([this](logs::Channel, const std::string& text) { output += text; });
  }
  Result<RegistryImagePtr> find(const std::string& name,
                                std::optional<RegistryLogin> login = std::nullopt,
                                const std::string& workspace = "ws-1") {
    auto parsed = parse_image_name(name);
    REQUIRE_MESSAGE(parsed, name);
    return loop.run_task(puller->find(*parsed, std::move(login), workspace));
  }
  Error not_found(const std::string& name, std::optional<RegistryLogin> login = std::nullopt) {
    auto found = find(name, std::move(login));
    REQUIRE(!found);
    return found.error();
  }
  Result<std::vector<std::string>> pull(const RegistryImagePtr& image) {
    return loop.run_task(puller->layers(image, "ws-1", log()));
  }
  std::vector<std::string> pull(const std::string& name) {
    const auto image = find(name);
    REQUIRE_MESSAGE(image, (image ? "" : image.error().to_string()));
    auto layers = pull(*image);
    REQUIRE_MESSAGE(layers, (layers ? "" : layers.error().to_string()));
    return *layers;
  }
  Error broken(const std::string& name) {
    const auto image = find(name);
    REQUIRE_MESSAGE(image, (image ? "" : image.error().to_string()));
    auto layers = pull(*image);
    REQUIRE(!layers);
    // Nothing of it stays: no layer, no draft.
    for (const std::string& left : os::list_folder(temp / "layers")) {
      const bool is_own = left == "images" || left == "tmp" || left == "locks";
      CHECK_MESSAGE(is_own, left);
    }
    for (const std::string& session : os::list_folder(temp / "layers/tmp")) {
      CHECK(os::list_folder(temp / "layers/tmp/" + session).empty());
    }
    return layers.error();
  }
  std::string text(const std::string& layer, const std::string& path) {
    return read_file(store->folder_of(layer) + path);
  }
};

bool says(const Error& error, const std::string& words) {
  const bool does = error.message().find(words) != std::string::npos;
  if (!does) {
    std::printf("it says: %s\n", error.message().c_str());
  }
  return does;
}

}  // namespace

TEST_CASE("an image is found by its tag or digest, and its layers are pulled") {
  if (!may_unpack()) {
    return;
  }
  for (const char* filter : {"gzip", "zstd", ""}) {
    CAPTURE(filter);
    FakeRegistry registry;
    const Json settings = {{"Env", {"A=1"}}, {"Cmd", {"/run"}}};
    const std::string digest =
        registry.put_image("1", {layer("one"), layer("two")}, filter, settings);
    House house;
    const auto image = house.find(registry.host() + "/team/app:1");
    REQUIRE(image);
    CHECK((*image)->config.env == std::vector<std::string>{"A=1"});
    CHECK((*image)->top_digest == digest);
    const auto layers = house.pull(*image);
    REQUIRE(layers);
    REQUIRE(layers->size() == 2);
    CHECK(house.text((*layers)[0], "/one") == "xxxxxxxxxx");
    CHECK(house.text((*layers)[1], "/two") == "xxxxxxxxxx");
    const auto again = house.find(registry.host() + "/team/app@" + digest);
    REQUIRE(again);
    CHECK((*again)->key == (*image)->key);
  }
}

TEST_CASE("of an index the image for this machine is taken, and no other is looked at") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry registry;
  const std::string ours = registry.put_image("", {layer("ours")});
  const std::string theirs = registry.put_image("", {layer("theirs")});
  const auto entry = [](const std::string& digest, const std::string& architecture) {
    Json one = FakeRegistry::descriptor(digest, 500);
    one["platform"] = {{"os", "linux"}, {"architecture", architecture}};
    return one;
  };
  registry.put_manifest(
      "1", {{"schemaVersion", 2},
            {"manifests", {entry(theirs, "s390x"), entry(ours, Platform::own().architecture)}}});
  registry.put_manifest("other", {{"schemaVersion", 2}, {"manifests", {entry(theirs, "s390x")}}});
  House house;
  const auto layers = house.pull(registry.host() + "/app:1");
  CHECK(house.text(layers.at(0), "/ours") == "xxxxxxxxxx");
  const Error error = house.not_found(registry.host() + "/app:other");
  CHECK(error.code() == Code::not_found);
  CHECK(says(error, "linux/s390x"));
}

TEST_CASE("a layer is fetched once, for images at the same time and for later ones") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry registry;
  registry.put_image("1", {layer("shared"), layer("one")});
  registry.put_image("2", {layer("shared"), layer("two")});
  House house;
  const auto first = house.find(registry.host() + "/app:1");
  const auto second = house.find(registry.host() + "/app:2");
  REQUIRE(first);
  REQUIRE(second);
  async::TaskGroup tasks(house.loop);
  int pulled = 0;
  const auto pull = [](House* at, RegistryImagePtr image, int* count) -> async::Task<void> {
    THAW_CO_TRY_VOID(co_await at->puller->layers(std::move(image), "ws-1", at->log()));
    ++*count;
    co_return ok();
  };
  tasks.start("first", pull(&house, *first, &pulled));
  tasks.start("second", pull(&house, *second, &pulled));
  REQUIRE(house.loop.run_task(tasks.join(Instant::max())));
  CHECK(pulled == 2);
  CHECK(registry.count("/blobs/" + (*first)->layers[0].digest) == 1);
  REQUIRE(house.pull(*first));
  CHECK(registry.count("/blobs/" + (*first)->layers[0].digest) == 1);
  CHECK(registry.count("/blobs/" + (*first)->layers[1].digest) == 1);
}

TEST_CASE("an equal layer twice in an image is one, where the upper one is") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry registry;
  registry.put_image("1", {layer("same"), layer("between"), layer("same")});
  House house;
  const auto layers = house.pull(registry.host() + "/app:1");
  REQUIRE(layers.size() == 2);
  CHECK(house.text(layers[0], "/between") == "xxxxxxxxxx");
  CHECK(house.text(layers[1], "/same") == "xxxxxxxxxx");
}

TEST_CASE("a connection that breaks in the middle of a layer goes on where it was") {
  if (!may_unpack()) {
    return;
  }
  const std::string tar = TarText().file("noise", noise(300'000)).str();
  std::atomic<int> breaks = 0;
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.find("/blobs/" + sha256_of(tar)) == std::string::npos || breaks >= 2) {
      return false;
    }
    const std::string range = request.header("range");
    const std::size_t from = range.empty() ? 0 : std::stoul(range.substr(6));
    ++breaks;
    FakeRegistry::say(connection, std::string(from == 0 ? "HTTP/1.1 200 OK\r\n"
                                                        : "HTTP/1.1 206 Partial Content\r\n") +
                                      "Content-Range: bytes " + std::to_string(from) + "-\r\n" +
                                      "Content-Length: " + std::to_string(tar.size() - from) +
                                      "\r\n\r\n" + tar.substr(from, 100'000));
    return true;
  });
  registry.put_image("1", {tar}, "");
  House house;
  const auto layers = house.pull(registry.host() + "/app:1");
  CHECK(house.text(layers.at(0), "/noise") == noise(300'000));
  CHECK(breaks == 2);
  std::vector<std::string> ranges;
  for (const auto& request : registry.requests()) {
    if (request.path.find("/blobs/" + sha256_of(tar)) != std::string::npos) {
      ranges.push_back(request.header("range"));
    }
  }
  CHECK(ranges == std::vector<std::string>{"", "bytes=100000-", "bytes=200000-"});
}

TEST_CASE("a registry that knows no ranges is asked for the whole again") {
  if (!may_unpack()) {
    return;
  }
  const std::string tar = TarText().file("noise", noise(300'000)).str();
  std::atomic<int> tries = 0;
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.find("/blobs/" + sha256_of(tar)) == std::string::npos) {
      return false;
    }
    const std::size_t some = ++tries == 1 ? 100'000 : tar.size();
    FakeRegistry::say(connection,
                      "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(tar.size()) +
                          "\r\n\r\n" + tar.substr(0, some));
    return true;
  });
  registry.put_image("1", {tar}, "");
  House house;
  CHECK(house.text(house.pull(registry.host() + "/app:1").at(0), "/noise") == noise(300'000));
  CHECK(tries == 2);
}

TEST_CASE("a layer that never comes whole is given up, and nothing of it stays") {
  if (!may_unpack()) {
    return;
  }
  const std::string tar = layer("one", 50'000);
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.find("/blobs/" + sha256_of(tar)) == std::string::npos) {
      return false;
    }
    FakeRegistry::say(connection, "HTTP/1.1 200 OK\r\nContent-Length: " +
                                      std::to_string(tar.size()) + "\r\n\r\n");
    return true;
  });
  registry.put_image("1", {tar}, "");
  House house;
  const Error error = house.broken(registry.host() + "/app:1");
  CHECK(says(error, registry.host() + "/app"));
}

TEST_CASE("a layer that is not what its digest says is refused") {
  if (!may_unpack()) {
    return;
  }
  const std::string tar = layer("one");
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.find("/blobs/" + sha256_of(tar)) == std::string::npos) {
      return false;
    }
    FakeRegistry::answer(connection, "200 OK", layer("two"));
    return true;
  });
  registry.put_image("1", {tar}, "");
  House house;
  const Error error = house.broken(registry.host() + "/app:1");
  CHECK(error.code() == Code::data_loss);
  CHECK(says(error, sha256_of(tar)));
}

TEST_CASE("a layer whose tar stream is not what the configuration says is refused") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry registry;
  const std::string stored = compressed(layer("one"), "gzip");
  const std::string config = Json{{"rootfs", {{"diff_ids", {sha256_of(layer("two"))}}}}}.dump();
  registry.put_manifest(
      "1", {{"schemaVersion", 2},
            {"config", FakeRegistry::descriptor(registry.put_blob(config), config.size())},
            {"layers", {FakeRegistry::descriptor(registry.put_blob(stored), stored.size())}}});
  House house;
  CHECK(house.broken(registry.host() + "/app:1").code() == Code::data_loss);
}

TEST_CASE("an endless body ends where its layer does") {
  if (!may_unpack()) {
    return;
  }
  const std::string tar = layer("one");
  std::atomic<std::uint64_t> sent = 0;
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.find("/blobs/" + sha256_of(tar)) == std::string::npos) {
      return false;
    }
    FakeRegistry::say(connection, "HTTP/1.1 200 OK\r\n\r\n");
    const std::string piece(65'536, 'x');
    while (::send(connection, piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
      sent += piece.size();
    }
    return true;
  });
  registry.put_image("1", {tar}, "");
  House house;
  CHECK(house.broken(registry.host() + "/app:1").code() == Code::data_loss);
  CHECK(sent < (64u << 20));
}

TEST_CASE("an endless manifest ends too") {
  FakeRegistry registry([&](int connection, const FakeRegistry::Request&) {
    FakeRegistry::say(connection, "HTTP/1.1 200 OK\r\n\r\n");
    const std::string piece(65'536, ' ');
    while (::send(connection, piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
    }
    return true;
  });
  House house;
  CHECK(says(house.not_found(registry.host() + "/app:1"), "more than 4 MiB"));
}

TEST_CASE("redirects are followed so often, and no further") {
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    FakeRegistry::redirect(connection, request.path + "x");
    return true;
  });
  House house;
  CHECK(says(house.not_found(registry.host() + "/app:1"), "redirects"));
  CHECK(registry.requests().size() == 6);
}

TEST_CASE("a redirect to another host does not carry who asks there") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry storage;
  const std::string tar = layer("one");
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.header("authorization").empty()) {
      FakeRegistry::answer(connection, "401 Unauthorized", "",
                           "WWW-Authenticate: Basic realm=\"x\"\r\n");
      return true;
    }
    if (request.path.find("/blobs/" + sha256_of(tar)) == std::string::npos) {
      return false;
    }
    FakeRegistry::redirect(connection, storage.origin() + "/blobs/" + sha256_of(tar));
    return true;
  });
  storage.put_blob(tar);
  registry.put_image("1", {tar}, "");
  RegistrySettings settings;
  settings.insecure = {registry.host()};
  House house(settings);
  const auto image = house.find(registry.host() + "/app:1", RegistryLogin{"user", "secret"});
  REQUIRE(image);
  REQUIRE(house.pull(*image));
  REQUIRE(storage.requests().size() == 1);
  CHECK(storage.requests()[0].header("authorization").empty());
  CHECK(!storage.requests()[0].head.empty());
}

TEST_CASE("a registry of this machine that nobody has named leads to no other port of it") {
  FakeRegistry other;
  for (const bool is_token : {true, false}) {
    CAPTURE(is_token);
    FakeRegistry registry([&](int connection, const FakeRegistry::Request&) {
      if (is_token) {
        FakeRegistry::answer(connection, "401 Unauthorized", "",
                             "WWW-Authenticate: Bearer realm=\"" + other.origin() + "/t\"\r\n");
      } else {
        FakeRegistry::redirect(connection, other.origin() + "/any?path");
      }
      return true;
    });
    House house;
    CHECK(says(house.not_found(registry.host() + "/app:1"), "may not be connected to"));
  }
  CHECK(other.requests().empty());
}

TEST_CASE(
    "no answer of a registry leads to where clouds keep credentials, or to a network beside") {
  for (const std::string target :
       {"169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "10.0.0.1", "[::ffff:10.0.0.1]",
        "[fd00::1]", "0.0.0.0", "127.64.0.1"}) {
    for (const bool is_token : {true, false}) {
      CAPTURE(target);
      CAPTURE(is_token);
      const std::string there = "http://" + target + "/latest/meta-data/";
      FakeRegistry registry([&](int connection, const FakeRegistry::Request&) {
        if (is_token) {
          FakeRegistry::answer(connection, "401 Unauthorized", "",
                               "WWW-Authenticate: Bearer realm=\"" + there + "\"\r\n");
        } else {
          FakeRegistry::redirect(connection, there);
        }
        return true;
      });
      RegistrySettings settings;
      settings.insecure = {registry.host()};  // even of one that the operator has named
      House house(settings);
      CHECK(says(house.not_found(registry.host() + "/app:1"), "may not be connected to"));
    }
  }
}

TEST_CASE("a token is fetched with the login, and asked with") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.starts_with("/token")) {
      if (request.header("authorization") != "Basic dXNlcjpzZWNyZXQ=") {
        FakeRegistry::answer(connection, "401 Unauthorized", "");
      } else {
        FakeRegistry::answer(connection, "200 OK", "{\"token\": \"good\"}");
      }
      return true;
    }
    if (request.header("authorization") != "Bearer good") {
      const std::string host = request.header("host");
      FakeRegistry::answer(connection, "401 Unauthorized", "",
                           "WWW-Authenticate: Bearer realm=\"http://" + host +
                               "/token\",service=\"fake\",scope=\"repository:app:pull\"\r\n");
      return true;
    }
    return false;
  });
  registry.put_image("1", {layer("one"), layer("two")});
  House house;
  const auto image = house.find(registry.host() + "/app:1", RegistryLogin{"user", "secret"});
  REQUIRE_MESSAGE(image, (image ? "" : image.error().to_string()));
  REQUIRE(house.pull(*image));
  CHECK(registry.count("/token?service=fake&scope=repository%3Aapp%3Apull") == 1);

  const Error wrong = house.not_found(registry.host() + "/app:1", RegistryLogin{"user", "wrong"});
  CHECK(wrong.code() == Code::permission_denied);
  CHECK(says(wrong, "'user'"));
  CHECK(wrong.message().find("wrong") == std::string::npos);
  const Error none = house.not_found(registry.host() + "/app:1");
  CHECK(none.code() == Code::permission_denied);
  CHECK(says(none, "REGISTRY_USERNAME"));
}

TEST_CASE("a token that is over is fetched anew while layers are pulled") {
  if (!may_unpack()) {
    return;
  }
  std::atomic<int> tokens = 0;
  FakeRegistry registry([&](int connection, const FakeRegistry::Request& request) {
    if (request.path.starts_with("/token")) {
      FakeRegistry::answer(connection, "200 OK",
                           "{\"token\": \"t" + std::to_string(++tokens) + "\"}");
      return true;
    }
    const bool is_blob = request.path.find("/blobs/") != std::string::npos;
    if (request.header("authorization") != (is_blob ? "Bearer t2" : "Bearer t1")) {
      FakeRegistry::answer(
          connection, "401 Unauthorized", "",
          "WWW-Authenticate: Bearer realm=\"http://" + request.header("host") + "/token\"\r\n");
      return true;
    }
    return false;
  });
  registry.put_image("1", {layer("one")});
  House house;
  CHECK(house.pull(registry.host() + "/app:1").size() == 1);
  CHECK(tokens == 2);
}

TEST_CASE("a missing tag is told with the image and the registry") {
  FakeRegistry registry;
  registry.put_image("1", {layer("one")});
  House house;
  const Error error = house.not_found(registry.host() + "/team/app:2");
  CHECK(error.code() == Code::not_found);
  CHECK(says(error, registry.host() + "/team/app:2"));
  CHECK(says(error, "manifest unknown"));
}

TEST_CASE("a registry that is away is told, but for what is known of it already") {
  if (!may_unpack()) {
    return;
  }
  House house;
  std::string host;
  {
    FakeRegistry registry;
    registry.put_image("1", {layer("one")});
    host = registry.host();
    house.pull(host + "/app:1");
  }
  const Error error = house.not_found(host + "/app:2");
  CHECK(error.code() == Code::failed_precondition);
  CHECK(says(error, "the registry " + host + " is not there"));
  const auto known = house.find(host + "/app:1");
  REQUIRE(known);
  CHECK((*known)->note.find("does not answer") != std::string::npos);
  CHECK(house.pull(*known));
  // What one has heard is nothing that another one knows.
  CHECK(!house.find(host + "/app:1", std::nullopt, "ws-2"));
  CHECK(!house.find(host + "/app:1", RegistryLogin{"user", "secret"}));
}

TEST_CASE("a tag that moves is another image") {
  if (!may_unpack()) {
    return;
  }
  FakeRegistry registry;
  registry.put_image("1", {layer("one")});
  House house;
  const auto first = house.find(registry.host() + "/app:1");
  registry.put_image("1", {layer("two")});
  const auto second = house.find(registry.host() + "/app:1");
  REQUIRE(first);
  REQUIRE(second);
  CHECK((*first)->key != (*second)->key);
}

TEST_CASE("names without a host go to the default registry, or say which setting names one") {
  FakeRegistry registry;
  registry.put_image("1", {layer("one")});
  RegistrySettings settings;
  settings.default_registry = registry.host();
  House with(settings);
  CHECK(with.find("app:1"));
  CHECK(registry.count("/v2/library/app/manifests/1") == 1);
  CHECK(with.find("team/app:1"));
  CHECK(registry.count("/v2/team/app/manifests/1") == 1);
  House without;
  CHECK(says(without.not_found("app:1"), "[images] default_registry"));
}

TEST_CASE("where the configuration names registries no others are asked") {
  FakeRegistry registry;
  registry.put_image("1", {layer("one")});
  RegistrySettings settings;
  settings.only = {"registry.lan:5000"};
  House house(settings);
  const Error error = house.not_found(registry.host() + "/app:1");
  CHECK(error.code() == Code::permission_denied);
  CHECK(says(error, "[images] registries"));
  CHECK(registry.requests().empty());
}

TEST_CASE("addresses that are no registry's are not connected to") {
  House house;
  for (const std::string host : {"169.254.169.254", "0.0.0.0:5000", "224.0.0.1", "192.0.2.1",
                                 "100.100.100.200", "[fd00:ec2::254]", "127.64.0.1:8000"}) {
    CAPTURE(host);
    CHECK(says(house.not_found(host + "/app:1"), "may not be connected to"));
  }
}

TEST_CASE("an image whose layers are larger than the limit is refused before any is fetched") {
  FakeRegistry registry;
  registry.put_image("1", {TarText().file("noise", noise(300'000)).str()});
  RegistrySettings settings;
  settings.image_bytes = 100'000;
  House house(settings);
  const Error error = house.not_found(registry.host() + "/app:1");
  CHECK(error.code() == Code::resource_exhausted);
  CHECK(registry.count("/blobs/") == 1);  // the configuration
}

TEST_CASE("what answers but is no registry says so") {
  for (const std::string body : {"<html>", "{}", "[]", ""}) {
    CAPTURE(body);
    FakeRegistry registry([&](int connection, const FakeRegistry::Request&) {
      FakeRegistry::answer(connection, "200 OK", body);
      return true;
    });
    House house;
    const Error error = house.not_found(registry.host() + "/app:1");
    CHECK(error.code() != Code::unavailable);
    CHECK(says(error, "cannot pull " + registry.host() + "/app:1"));
  }
}
