// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/ignore_rules.h"

#include <doctest/doctest.h>

#include <string>

using namespace thaw::cli;

namespace {

struct Case {
  const char* rules;
  const char* path;
  bool ignored;
};

}  // namespace

TEST_CASE("a .dockerignore means what Docker documents") {
  const Case cases[] = {
      {"", "app.py", false},
      {"# app.py\n\n  \n", "app.py", false},
      {"app.py", "app.py", true},
      {"app.py\r\n", "app.py", true},
      {"\xef\xbb\xbf"
       "app.py",
       "app.py", true},
      {"app.py", "src/app.py", false},
      {"/app.py", "app.py", true},
      {"./src/../app.py", "app.py", true},
      // A folder, and all that is in it, with a slash or without.
      {"node_modules", "node_modules/a/b.js", true},
      {"node_modules/", "node_modules/a/b.js", true},
      {"node_modules", "node_modules2/a.js", false},
      // One name.
      {"*.pyc", "a.pyc", true},
      {"*.pyc", "a/b.pyc", false},
      {"*/temp*", "somedir/temporary.txt", true},
      {"*/temp*", "somedir/temp/a", true},
      {"*/temp*", "a/somedir/temp", false},
      {"*/*/temp*", "somedir/subdir/temporary.txt", true},
      {"temp?", "tempa", true},
      {"temp?", "temp", false},
      {"a?b", "a/b", false},
      {"[a-c]x", "bx", true},
      {"[^a-c]x", "bx", false},
      {"[^a-c]x", "dx", true},
      {"[^a-c]x", "/x", false},
      {"a[b", "a[b", true},
      {"\\*.py", "*.py", true},
      {"\\*.py", "a.py", false},
      // Any number of folders.
      {"**/*.go", "a.go", true},
      {"**/*.go", "a/b/c.go", true},
      {"**/*.go", "a/b/c.gox", false},
      {"a/**/z", "a/z", true},
      {"a/**/z", "a/b/c/z", true},
      {"a/**/z", "a/bz", false},
      {"a/**", "a/b/c", true},
      {"a/**", "a", false},
      {"**", "anything/at/all", true},
      // What is taken back, and the last word.
      {"*.md\n!README.md", "README.md", false},
      {"*.md\n!README.md", "other.md", true},
      {"*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true},
      {"*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false},
      {"*\n!src", "src/a/b.py", false},
      {"*\n! src/a", "src/b/b.py", true},
      {"!app.py", "app.py", false},
  };
  for (const Case& one : cases) {
    CAPTURE(std::string(one.rules));
    CAPTURE(std::string(one.path));
    CHECK(IgnoreRules(one.rules).ignores(one.path) == one.ignored);
  }
}

TEST_CASE("a pattern of many stars is not slow") {
  std::string pattern;
  for (int i = 0; i < 200; ++i) {
    pattern += "*a**";
  }
  CHECK_FALSE(IgnoreRules(pattern + "b").ignores(std::string(2000, 'a')));
}

TEST_CASE("only rules that take something back make ignored folders worth a look") {
  CHECK_FALSE(IgnoreRules("a\n*").takes_some_back());
  CHECK(IgnoreRules("*\n!a").takes_some_back());
}
