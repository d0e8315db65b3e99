// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/signed_url.h"

#include <doctest/doctest.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;

TEST_CASE("a signed address is genuine as it was made, and in no other form") {
  const store::TempFolder folder;
  const auto box = std::move(*store::SecretBox::open(folder / "key"));
  const SignedUrls urls(box, "one", std::chrono::hours(1));
  const std::string url = urls.make({"http", "host:1"}, "/things/a?op=get&size=5");
  REQUIRE(url.starts_with("http://host:1/things/a?op=get&size=5&until="));
  const std::string target = url.substr(std::string("http://host:1").size());
  CHECK(urls.is_genuine(target));
  CHECK_FALSE(SignedUrls::has_expired(target));

  for (std::size_t at = 0; at < target.size(); ++at) {
    CAPTURE(at);
    std::string other = target;
    other[at] = other[at] == 'a' ? 'b' : 'a';
    CHECK_FALSE(urls.is_genuine(other));
    CHECK_FALSE(urls.is_genuine(target.substr(0, at)));
  }
  CHECK_FALSE(urls.is_genuine(target + "&size=500"));
  CHECK_FALSE(urls.is_genuine(target + target.substr(target.rfind("&sig="))));
  CHECK_FALSE(SignedUrls(box, "another", std::chrono::hours(1)).is_genuine(target));
}

TEST_CASE("a signed address is over after its time, and one without a time always is") {
  const store::TempFolder folder;
  const auto box = std::move(*store::SecretBox::open(folder / "key"));
  const std::string host = "http://host";
  const auto target_of = [&](Duration lifetime) {
    return SignedUrls(box, "one", lifetime).make({"http", "host"}, "/a?x=1").substr(host.size());
  };
  CHECK_FALSE(SignedUrls::has_expired(target_of(1h)));
  CHECK(SignedUrls::has_expired(target_of(-10s)));
  for (const char* strange : {"", "/a", "/a?", "/a?until=", "/a?until=x", "/a?until=-5"}) {
    CHECK(SignedUrls::has_expired(strange));
  }
}
