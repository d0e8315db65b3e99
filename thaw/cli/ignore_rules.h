// SPDX-License-Identifier: Apache-2.0
//
// A .dockerignore file: which paths of a folder are not sent, by the rules that Docker documents.
// One pattern a line, from the folder's root: `*` and `?` stop at slashes, `**` is any number of
// folders, `[a-c]` is one of some characters, `\` takes the next character as it is. A pattern that
// matches a folder matches all that is in it. `!` in front takes paths back; the last pattern that
// matches decides. `#` begins a comment. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw::cli {

class IgnoreRules {
 public:
  IgnoreRules() = default;  // ignores nothing
  explicit IgnoreRules(std::string_view text);

  // `path`: from the folder's root, "src/app.py", without "." and "..".
  bool ignores(std::string_view path) const;
  // Whether something below an ignored folder may be wanted.
  bool takes_some_back() const { return takes_some_back_; }

 private:
  struct Piece {
    enum class Kind { character, any, within_name, folders, rest, one_of };
    Kind kind = Kind::character;
    char character = 0;
    std::string set;  // of one_of: what stands between the brackets
  };
  struct Rule {
    std::vector<Piece> pieces;
    bool takes_back = false;
  };
  static std::vector<Piece> parse(std::string_view pattern);
  static bool matches(const std::vector<Piece>& pieces, std::string_view path);
  static bool is_one_of(const std::string& set, char character);

  std::vector<Rule> rules_;
  bool takes_some_back_ = false;
};

}  // namespace thaw::cli
