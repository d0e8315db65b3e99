// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_name.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::image;

namespace {

const std::string digest = "sha256:" + std::string(64, 'a');

}  // namespace

TEST_CASE("a name is a host, a path, and a tag or a digest") {
  struct Row {
    std::string text, host, path, tag, digest;
  };
  for (const Row& row : {
           Row{"alpine", "", "alpine", "latest", ""},
           Row{"team/app:1.2", "", "team/app", "1.2", ""},
           Row{"127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000", "a/b/c", "x", ""},
           Row{"Registry.LAN/app", "registry.lan", "app", "latest", ""},
           Row{"localhost/app", "localhost", "app", "latest", ""},
           Row{"[::1]:5000/app", "[::1]:5000", "app", "latest", ""},
           Row{"docker.io/library/alpine:3", "", "library/alpine", "3", ""},
           Row{"r.lan/app@" + digest, "r.lan", "app", "", digest},
           Row{"r.lan/app:1@" + digest, "r.lan", "app", "1", digest},
       }) {
    CAPTURE(row.text);
    const auto name = parse_image_name(row.text);
    REQUIRE(name);
    CHECK(name->host == row.host);
    CHECK(name->path == row.path);
    CHECK(name->tag == row.tag);
    CHECK(name->digest == row.digest);
    CHECK(parse_image_name(name->str())->str() == name->str());
  }
  CHECK(parse_image_name("r.lan/app:1@" + digest)->reference() == digest);
  CHECK(parse_image_name("r.lan/app:1")->reference() == "1");
}

TEST_CASE("what leads elsewhere in a URL is no name") {
  for (const std::string text : {"",
                                 "UPPER/app",
                                 "a b",
                                 "../x",
                                 "a/../b",
                                 "a//b",
                                 "/a",
                                 "a/",
                                 "r.lan/",
                                 "r.lan:0/a",
                                 "r.lan:99999/a",
                                 "r.lan:5000x/a",
                                 "user@r.lan/a",
                                 "r.lan?x/a",
                                 "r.lan#/a",
                                 "a:b:c",
                                 "a:-x",
                                 "a@sha256:12",
                                 "a@md5:aaaa",
                                 ".r.lan/a",
                                 "r..lan/a",
                                 "[::1/a",
                                 "a:ta/g",
                                 "r.lan\\x/a",
                                 "a%2fb",
                                 "_a"}) {
    CAPTURE(text);
    const auto name = parse_image_name(text);
    REQUIRE(!name);
    CHECK(name.error().code() == Code::invalid_argument);
  }
  CHECK(!parse_image_name(std::string(5'000, 'a')));
  CHECK(!parse_image_name(std::string(300, 'a')));
}
