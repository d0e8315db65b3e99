// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/path_pattern.h"

#include <doctest/doctest.h>

namespace thaw::dialect::modal {

TEST_CASE("a pattern of paths matches as in a shell") {
  const auto matches = [](std::string_view pattern, std::string_view path) {
    return PathPattern(pattern).matches(path);
  };
  CHECK(matches("/a/*.txt", "a/b.txt"));
  CHECK_FALSE(matches("/a/*.txt", "a/b/c.txt"));
  CHECK_FALSE(matches("/a/*.txt", "a/.txt.gz"));
  CHECK(matches("**", "a/b/c"));
  CHECK(matches("**", "a"));
  CHECK(matches("a/**", "a/b"));
  CHECK(matches("a/**/z", "a/z"));
  CHECK(matches("a/**/z", "a/b/c/z"));
  CHECK_FALSE(matches("a/**/z", "b/z"));
  CHECK(matches("a?c", "abc"));
  CHECK_FALSE(matches("a?c", "ac"));
  CHECK(matches("*a*b*", "xxaxxbxx"));
  CHECK_FALSE(matches("*a*b*", "xxbxxaxx"));
  CHECK(matches("plain", "plain"));
  CHECK_FALSE(matches("plain", "plain/more"));
}

TEST_CASE("what may match lies below the folder before the first star") {
  CHECK(PathPattern("/a/b/*.txt").folder() == "a/b");
  CHECK(PathPattern("**").folder().empty());
  CHECK(PathPattern("a/x*/c").folder() == "a");
  CHECK(PathPattern::is_one("a/*"));
  CHECK_FALSE(PathPattern::is_one("a/b"));
}

TEST_CASE("a pattern of many stars takes no longer than both lengths") {
  std::string pattern;
  std::string path;
  for (int i = 0; i < 500; ++i) {
    pattern += "**/*a*a*a*b/";
    path += "aaaaaaaaaaaaaaaa/";
  }
  CHECK_FALSE(PathPattern(pattern).matches(path));
}

}  // namespace thaw::dialect::modal
