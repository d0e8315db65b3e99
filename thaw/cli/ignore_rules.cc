// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/ignore_rules.h"

#include <utility>

namespace thaw::cli {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\v\f";
  const std::size_t begin = text.find_first_not_of(blanks);
  return begin == std::string_view::npos
             ? std::string_view()
             : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// "/a//b/./c/../" becomes "a/b".
std::string cleaned(std::string_view pattern) {
  std::vector<std::string_view> parts;
  while (!pattern.empty()) {
    const std::size_t slash = pattern.find('/');
    const std::string_view part = pattern.substr(0, slash);
    pattern.remove_prefix(slash == std::string_view::npos ? pattern.size() : slash + 1);
    if (part == "..") {
      if (!parts.empty()) {
        parts.pop_back();
      }
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const std::string_view part : parts) {
    out += (out.empty() ? "" : "/") + std::string(part);
  }
  return out;
}

}  // namespace

IgnoreRules::IgnoreRules(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) {
    text.remove_prefix(3);
  }
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with('#')) {
      continue;
    }
    line = trimmed(line);
    Rule rule;
    rule.takes_back = line.starts_with('!');
    const std::string pattern = cleaned(trimmed(line.substr(rule.takes_back ? 1 : 0)));
    if (!pattern.empty()) {
      rule.pieces = parse(pattern);
      takes_some_back_ = takes_some_back_ || rule.takes_back;
      rules_.push_back(std::move(rule));
    }
  }
}

bool IgnoreRules::ignores(std::string_view path) const {
  bool ignored = false;
  for (const Rule& rule : rules_) {
    // One that says what is decided already is not looked at.
    if (rule.takes_back != ignored) {
      continue;
    }
    for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
      if (matches(rule.pieces, path.substr(0, end))) {
        ignored = !ignored;
        break;
      }
      if (end == std::string_view::npos) {
        break;
      }
    }
  }
  return ignored;
}

std::vector<IgnoreRules::Piece> IgnoreRules::parse(std::string_view pattern) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    Piece piece;
    const std::size_t bracket = pattern[i] == '[' ? pattern.find(']', i + 2) : std::string::npos;
    if (pattern.substr(i, 2) == "**") {
      i += pattern.substr(i + 2, 1) == "/" ? 2 : 1;
      piece.kind = i + 1 == pattern.size() ? Piece::Kind::rest : Piece::Kind::folders;
    } else if (pattern[i] == '*') {
      piece.kind = Piece::Kind::within_name;
    } else if (pattern[i] == '?') {
      piece.kind = Piece::Kind::any;
    } else if (bracket != std::string::npos) {
      piece.kind = Piece::Kind::one_of;
      piece.set = pattern.substr(i + 1, bracket - i - 1);
      i = bracket;
    } else {
      i += pattern[i] == '\\' && i + 1 < pattern.size() ? 1 : 0;
      piece.character = pattern[i];
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

bool IgnoreRules::is_one_of(const std::string& set, char character) {
  const bool negated = set.starts_with('^') || set.starts_with('!');
  bool found = false;
  for (std::size_t i = negated ? 1 : 0; i < set.size(); ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = found || (set[i] <= character && character <= set[i + 2]);
      i += 2;
    } else {
      found = found || set[i] == character;
    }
  }
  return found != negated && character != '/';
}

// After each piece, all places of the path that it can end at: no pattern makes it slow.
bool IgnoreRules::matches(const std::vector<Piece>& pieces, std::string_view path) {
  std::vector<bool> at(path.size() + 1);
  at[0] = true;
  for (const Piece& piece : pieces) {
    std::vector<bool> next(path.size() + 1);
    bool reached = false;  // by an earlier place, over what lies between
    for (std::size_t i = 0; i <= path.size(); ++i) {
      switch (piece.kind) {
        case Piece::Kind::rest:
          reached = reached || at[i];
          next[i] = reached;
          break;
        case Piece::Kind::folders:
          next[i] = at[i] || (reached && path[i - 1] == '/');
          reached = reached || at[i];
          break;
        case Piece::Kind::within_name:
          reached = at[i] || (reached && path[i - 1] != '/');
          next[i] = reached;
          break;
        default: {
          if (i == 0 || !at[i - 1]) {
            break;
          }
          const char character = path[i - 1];
          next[i] = piece.kind == Piece::Kind::any      ? character != '/'
                    : piece.kind == Piece::Kind::one_of ? is_one_of(piece.set, character)
                                                        : character == piece.character;
        }
      }
    }
    at = std::move(next);
  }
  return at[path.size()];
}

}  // namespace thaw::cli
