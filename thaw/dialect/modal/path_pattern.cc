// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/path_pattern.h"

#include <algorithm>

namespace thaw::dialect::modal {

namespace {

std::vector<std::string> names_of(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (!name.empty() && name != ".") {
      names.emplace_back(name);
    }
  }
  return names;
}

// Of one name: back to the last star where it does not go on.
bool name_matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;
  std::size_t after_star = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after_star;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

PathPattern::PathPattern(std::string_view text) : names_(names_of(text)) {
  for (const std::string& name : names_) {
    if (is_one(name)) {
      break;
    }
    folder_ += (folder_.empty() ? "" : "/") + name;
  }
}

bool PathPattern::is_one(std::string_view text) {
  return text.find_first_of("*?") != std::string_view::npos;
}

bool PathPattern::matches(std::string_view path) const {
  const std::vector<std::string> names = names_of(path);
  // reached[n]: what has been seen of the pattern fits the first n names.
  std::vector<bool> reached(names.size() + 1, false);
  reached[0] = true;
  for (const std::string& wanted : names_) {
    std::vector<bool> next(names.size() + 1, false);
    for (std::size_t n = 0; n <= names.size(); ++n) {
      if (wanted == "**") {
        next[n] = reached[n] || (n > 0 && next[n - 1]);
      } else {
        next[n] = n > 0 && reached[n - 1] && name_matches(wanted, names[n - 1]);
      }
    }
    reached = std::move(next);
  }
  return reached.back();
}

}  // namespace thaw::dialect::modal
