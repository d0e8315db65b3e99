// SPDX-License-Identifier: Apache-2.0
// What paths, ranges, pages, scopes and names of other registries mean: all pure.
#include <doctest/doctest.h>

#include "thaw/dialect/registry/byte_range.h"
#include "thaw/dialect/registry/cloud_names.h"
#include "thaw/dialect/registry/pages.h"
#include "thaw/dialect/registry/routes.h"
#include "thaw/dialect/registry/token_scopes.h"

using namespace thaw;
using namespace thaw::dialect::registry;
using Kind = Route::Kind;
using What = AskedRange::What;

namespace {

void check(const std::string& path, Kind kind, const std::string& repository,
           const std::string& reference) {
  CAPTURE(path);
  const auto route = read_route(path);
  REQUIRE(route);
  CHECK(route->kind == kind);
  CHECK(route->repository == repository);
  CHECK(route->reference == reference);
}

std::optional<std::string> local(const std::string& name) {
  const auto parsed = image::parse_image_name(name);
  REQUIRE(parsed);
  return repository_for(*parsed);
}

}  // namespace

TEST_CASE("a path is read from its end") {
  check("/v2", Kind::base, "", "");
  check("/v2/", Kind::base, "", "");
  check("/v2/token", Kind::token, "", "");
  check("/v2/_catalog", Kind::catalog, "", "");
  check("/v2/a/blobs/uploads/", Kind::uploads, "a", "");
  check("/v2/a/blobs/uploads", Kind::uploads, "a", "");
  check("/v2/a/b/blobs/uploads/up-1", Kind::upload, "a/b", "up-1");
  check("/v2/a/blobs/sha256:00", Kind::blob, "a", "sha256:00");
  check("/v2/a/blobs/sha256%3A00", Kind::blob, "a", "sha256:00");
  check("/v2/a/manifests/latest", Kind::manifest, "a", "latest");
  check("/v2/a/tags/list", Kind::tags, "a", "");
  check("/v2/a/referrers/sha256:00", Kind::referrers, "a", "sha256:00");
  check("/v2/blobs/manifests/tags/manifests/list", Kind::manifest, "blobs/manifests/tags", "list");
  check("/v2/a/manifests/tags/list", Kind::tags, "a/manifests", "");
}

TEST_CASE("what is no path of the protocol, and what is no name, is told apart") {
  for (const char* path : {"/v2/a", "/v2/a/b", "/v1/a/tags/list", "/v2/a/tags/lists", "/v2//"}) {
    CAPTURE(path);
    CHECK(read_route(path).error().code() == Code::not_found);
  }
  for (const char* path : {"/v2/A/manifests/x", "/v2/../etc/manifests/x",
                           "/v2/a%2f..%2fb/manifests/x", "/v2//manifests/x", "/v2/a//b/manifests/x",
                           "/v2/a%00/manifests/x", "/v2/tags/list", "/v2/-a/manifests/x"}) {
    CAPTURE(path);
    const auto route = read_route(path);
    REQUIRE(!route);
    CHECK(route.error().code() == Code::invalid_argument);
  }
  CHECK(!read_route("/v2/" + std::string(300, 'a') + "/manifests/x"));
  std::string deep = "/v2";
  for (int i = 0; i < 5'000; ++i) {
    deep += "/a";
  }
  CHECK(!read_route(deep + "/manifests/x"));
}

TEST_CASE("a range is a part, or as if it were not there, or there is none") {
  const auto part = [](const char* text, std::uint64_t first, std::uint64_t count) {
    CAPTURE(text);
    const AskedRange asked = read_range(text, 100);
    CHECK(asked.what == What::part);
    CHECK(asked.range.first == first);
    CHECK(asked.range.count == count);
  };
  part("bytes=0-9", 0, 10);
  part("bytes=90-", 90, 10);
  part("bytes=-5", 95, 5);
  part("bytes=-500", 0, 100);
  part("bytes=90-1000", 90, 10);
  part("bytes=0-18446744073709551615", 0, 100);
  for (const char* text : {"bytes=100-", "bytes=100-200", "bytes=-0"}) {
    CHECK(read_range(text, 100).what == What::none);
  }
  for (const char* text : {"", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,4-5", "lines=0-1",
                           "bytes=a-b", "bytes=0-99999999999999999999"}) {
    CHECK(read_range(text, 100).what == What::whole);
  }
  CHECK(read_range("bytes=0-", 0).what == What::none);
}

TEST_CASE("a piece says where it begins and how long it is") {
  CHECK(read_content_range("0-9")->count == 10);
  CHECK(read_content_range("bytes 5-9/*")->first == 5);
  for (const char* text : {"", "9", "9-5", "-5", "5-", "0-18446744073709551615", "a-b"}) {
    CHECK(!read_content_range(text));
  }
}

TEST_CASE("a page has as many as were asked for, and at most so many as may be") {
  CHECK(read_page("", 10)->count == 10);
  CHECK(read_page("n=3&last=b", 10)->count == 3);
  CHECK(read_page("n=3&last=b", 10)->after == "b");
  CHECK(read_page("n=0", 10)->count == 0);
  CHECK(read_page("n=99999999999999999999999", 10)->count == 10);
  CHECK(!read_page("n=-1", 10));
  CHECK(!read_page("n=many", 10));
  CHECK(link_to_next("/v2/a/tags/list", {2, ""}, "b", "") ==
        "</v2/a/tags/list?n=2&last=b>; rel=\"next\"");
}

TEST_CASE("a scope says a repository and what is done to it; others are left out") {
  const auto scopes = scopes_of_query(
      "service=x&scope=repository:a/b:pull,push&scope=registry:catalog:*&scope=repository%3Ac%3A*");
  REQUIRE(scopes.size() == 3);
  CHECK(scopes[0].repository == "a/b");
  CHECK(scopes[0].actions.push);
  CHECK(!scopes[0].actions.erase);
  CHECK(scopes[1].repository.empty());
  CHECK(write_scope(scopes[1]) == catalog_scope);
  CHECK(!scopes[1].actions.push);
  CHECK(scopes[2].actions.covers({true, true, true}));
  CHECK(write_scope(scopes[0]) == "repository:a/b:pull,push");
  CHECK(read_scopes(write_scope(scopes[2])).at(0).actions.covers({true, true, true}));
  CHECK(scopes_of_query("scope=repository:a:pull+repository:b:push").size() == 2);
  CHECK(read_scopes("repository:../x:pull repository:a repository::pull nonsense").empty());
  std::string many;
  for (int i = 0; i < 1'000; ++i) {
    many += "repository:a:pull ";
  }
  CHECK(read_scopes(many).size() == 64);
}

TEST_CASE("names at clouds' registries stand for repositories here") {
  CHECK(local("r8.im/owner/name") == "owner/name");
  CHECK(local("r8.im/owner/name@sha256:" + std::string(64, 'a')) == "owner/name");
  CHECK(local("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1") == "team/app");
  CHECK(local("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app") == "app");
  CHECK(local("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/app") == "app");
  for (const char* name :
       {"team/app", "example.com/app", "r8.im.example.com/a", "r8.im:5000/a",
        "12345.dkr.ecr.eu-west-1.amazonaws.com/a", "dkr.ecr.eu-west-1.amazonaws.com/a",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com/a",
        "123456789012.dkr.s3.eu-west-1.amazonaws.com/a"}) {
    CAPTURE(name);
    CHECK(!local(name));
  }
}
