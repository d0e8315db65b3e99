// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/oci_manifest.h"

#include <doctest/doctest.h>

#include "thaw/codec/json.h"

using namespace thaw;
using namespace thaw::codec;

namespace {

const std::string manifest_type = "application/vnd.oci.image.manifest.v1+json";

std::string hex(char digit) { return std::string(64, digit); }
Json named(char digit, std::uint64_t size) {
  return {{"mediaType", "application/x"}, {"digest", "sha256:" + hex(digit)}, {"size", size}};
}
Json image() {
  return {{"schemaVersion", 2},
          {"mediaType", manifest_type},
          {"config", named('a', 2)},
          {"layers", {named('b', 10), named('c', 20)}}};
}
std::string refusal(const Json& json, const std::string& type = manifest_type) {
  const auto read = read_oci_manifest(json.dump(), type);
  return read ? "" : read.error().message();
}

}  // namespace

TEST_CASE("a manifest names its configuration and its layers") {
  const auto facts = read_oci_manifest(image().dump(), manifest_type + "; charset=utf-8");
  REQUIRE(facts);
  CHECK(facts->media_type == manifest_type);
  REQUIRE(facts->blobs.size() == 3);
  CHECK(facts->blobs[0].sha256_hex == hex('a'));
  CHECK(facts->blobs[2].size == 20);
  CHECK(facts->children.empty());
  CHECK(facts->artifact_type == "application/x");  // of the configuration, as none is said
}

TEST_CASE("an artifact says its type, its subject and its annotations") {
  Json json = image();
  json["artifactType"] = "application/sbom";
  json["subject"] = named('d', 5);
  json["annotations"] = {{"by", "ann"}};
  const auto facts = read_oci_manifest(json.dump(), "");
  REQUIRE(facts);
  CHECK(facts->artifact_type == "application/sbom");
  CHECK(facts->subject == hex('d'));
  CHECK(facts->annotations.at("by") == "ann");
}

TEST_CASE("an index names manifests; what has addresses of its own need not be here") {
  const Json index = {{"schemaVersion", 2}, {"manifests", {named('e', 7)}}};
  const auto facts = read_oci_manifest(index.dump(), oci_index_type);
  REQUIRE(facts);
  CHECK(facts->children.at(0).sha256_hex == hex('e'));
  CHECK(facts->blobs.empty());
  Json foreign = image();
  foreign["layers"][0]["urls"] = {"https://elsewhere.example/layer"};
  CHECK(read_oci_manifest(foreign.dump(), manifest_type)->blobs.at(1).is_elsewhere);
}

TEST_CASE("what is no manifest is refused with a reason") {
  CHECK(!read_oci_manifest("{", manifest_type));
  CHECK(!read_oci_manifest("[]", manifest_type));
  CHECK(!read_oci_manifest("", manifest_type));
  Json json = image();
  json["schemaVersion"] = 1;
  CHECK(refusal(json).find("schemaVersion") != std::string::npos);
  json = image();
  json["config"]["digest"] = "sha512:" + hex('a') + hex('a');
  CHECK(refusal(json).find("sha256") != std::string::npos);
  json = image();
  json["layers"][1]["digest"] = "sha256:../../etc";
  CHECK(!refusal(json).empty());
  json = image();
  json["layers"][1]["size"] = -1;
  CHECK(!refusal(json).empty());
  json = image();
  json["layers"] = Json::array();
  for (int i = 0; i < 2'001; ++i) {
    json["layers"].push_back(named('b', 1));
  }
  CHECK(!refusal(json).empty());
  CHECK(refusal(image(), "application/vnd.oci.image.index.v1+json").find("calls itself") !=
        std::string::npos);
  json = image();
  json.erase("mediaType");
  CHECK(refusal(json, "text/plain").find("text/plain") != std::string::npos);
  json = image();
  json.erase("config");
  CHECK(!refusal(json).empty());
  json = image();
  json["annotations"] = {{"a", 1}};
  CHECK(!refusal(json).empty());
}

TEST_CASE("a number that only ends like 2 is another schema") {
  Json json = image();
  json["schemaVersion"] = (std::uint64_t{1} << 32) + 2;
  CHECK(refusal(json).find("schemaVersion") != std::string::npos);
}

TEST_CASE("a type of artifact is a media type: it stands in headers and addresses") {
  Json json = image();
  for (const char* type : {"application/x\r\nx-y: z", "a>b", "\"a\"", "a%26b", "\xc3\xa4"}) {
    json["artifactType"] = type;
    CHECK(refusal(json).find("media type") != std::string::npos);
  }
  json["artifactType"] = "application/vnd.x.y+json; v=1";
  CHECK(refusal(json).empty());
}
