// SPDX-License-Identifier: Apache-2.0
//
// A .dockerignore file and a path, with a NUL between them. What lies in an ignored folder is
// ignored, the last pattern that matches decides, and how lines end changes nothing; no pattern is
// slow.
#include "thaw/cli/ignore_rules.h"

#include "tests/fuzz/target.h"

namespace thaw::fuzz {

void run(std::string_view input) {
  Bytes bytes(input.substr(0, 4096));
  const std::string text(bytes.line());
  std::string path;
  for (const char c : bytes.rest().substr(0, 200)) {
    path += c == '\0' || (c == '/' && (path.empty() || path.back() == '/')) ? '_' : c;
  }
  if (path.empty() || path.back() == '/') {
    path += "x";
  }
  const cli::IgnoreRules rules(text);
  const bool is_ignored = rules.ignores(path);
  if (is_ignored && !rules.takes_some_back()) {
    expect(rules.ignores(path + "/below"), "what lies in an ignored folder is ignored");
  }
  expect(cli::IgnoreRules(text + "\n**").ignores(path), "a last pattern for all ignores all");
  expect(!cli::IgnoreRules(text + "\n!**").ignores(path), "or takes all of it back");
  expect(cli::IgnoreRules("# a comment\n\n" + text + "\n\n#").ignores(path) == is_ignored ||
             text.starts_with("\xef\xbb\xbf"),
         "comments and empty lines ignore nothing");
  std::string windows;
  for (const char c : text) {
    windows += c == '\n' ? "\r\n" : std::string(1, c);
  }
  expect(cli::IgnoreRules(windows).ignores(path) == is_ignored, "lines may end in two ways");
  expect(!cli::IgnoreRules().ignores(path), "nothing is ignored without a rule");
}

}  // namespace thaw::fuzz
