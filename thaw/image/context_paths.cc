// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/context_paths.h"

#include <map>

namespace thaw::image {
namespace {

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  while (!path.empty()) {
    const auto end = path.find('/');
    if (end != 0) {
      out.push_back(path.substr(0, end));
    }
    if (end == std::string_view::npos) {
      break;
    }
    path.remove_prefix(end + 1);
  }
  return out;
}

// One bracket expression at pattern[0] == '['; moves past it. malformed: matches nothing.
bool match_class(std::string_view& pattern, char c) {
  pattern.remove_prefix(1);
  const bool negated = pattern.starts_with("^") || pattern.starts_with("!");
  if (negated) {
    pattern.remove_prefix(1);
  }
  bool found = false;
  bool any = false;
  while (!pattern.empty() && (pattern.front() != ']' || !any)) {
    any = true;
    const auto take = [&pattern]() {
      if (pattern.front() == '\\' && pattern.size() > 1) {
        pattern.remove_prefix(1);
      }
      const char out = pattern.front();
      pattern.remove_prefix(1);
      return out;
    };
    const char low = take();
    char high = low;
    if (pattern.size() > 1 && pattern.front() == '-' && pattern[1] != ']') {
      pattern.remove_prefix(1);
      high = take();
    }
    found = found || (low <= c && c <= high);
  }
  if (pattern.empty()) {
    return false;
  }
  pattern.remove_prefix(1);
  return found != negated;
}

// One component, greedy with a single point of return: linear in practice, never exponential.
bool match_component(std::string_view pattern, std::string_view text) {
  std::string_view star_pattern, star_text;
  bool has_star = false;
  for (;;) {
    if (!pattern.empty() && pattern.front() == '*') {
      pattern.remove_prefix(1);
      star_pattern = pattern;
      star_text = text;
      has_star = true;
      continue;
    }
    bool matched = false;
    if (text.empty()) {
      if (pattern.empty()) {
        return true;
      }
    } else if (!pattern.empty()) {
      if (pattern.front() == '?') {
        pattern.remove_prefix(1);
        matched = true;
      } else if (pattern.front() == '[') {
        matched = match_class(pattern, text.front());
      } else {
        if (pattern.front() == '\\' && pattern.size() > 1) {
          pattern.remove_prefix(1);
        }
        matched = pattern.front() == text.front();
        pattern.remove_prefix(1);
      }
    }
    if (matched) {
      text.remove_prefix(1);
      continue;
    }
    if (!has_star || star_text.empty()) {
      return false;
    }
    star_text.remove_prefix(1);
    text = star_text;
    pattern = star_pattern;
  }
}

std::string base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

CopyEntry blob_entry(std::string path, const ContextFile& file) {
  return CopyEntry{std::move(path), file.sha256_hex, {}, file.mode};
}

using Names = std::map<std::string, const ContextFile*>;  // by normal path

Names normal_names(const Recipe& recipe) {
  Names names;
  for (const auto& [name, file] : recipe.context) {
    names.emplace(normal_path(name), &file);
  }
  return names;
}

// The file or folder at exactly `path`.
std::optional<CopyItem> exactly(const Names& names, const std::string& path) {
  CopyItem item;
  item.name = base_name(path);
  if (const auto file = names.find(path); file != names.end()) {
    item.entries.push_back(blob_entry("", *file->second));
    return item;
  }
  item.kind = CopyItem::Kind::folder;
  const std::string prefix = path == "/" ? "/" : path + "/";
  for (auto it = names.lower_bound(prefix); it != names.end() && it->first.starts_with(prefix);
       ++it) {
    item.entries.push_back(blob_entry(it->first.substr(prefix.size()), *it->second));
  }
  if (item.entries.empty() && path != "/") {
    return std::nullopt;
  }
  return item;
}

}  // namespace

std::string normal_path(std::string_view path) {
  std::vector<std::string_view> kept;
  for (const std::string_view part : components(path)) {
    if (part == ".") {
      continue;
    }
    if (part == "..") {
      if (!kept.empty()) {
        kept.pop_back();
      }
      continue;
    }
    kept.push_back(part);
  }
  std::string out;
  for (const std::string_view part : kept) {
    out.append("/").append(part);
  }
  return out.empty() ? "/" : out;
}

std::string absolute_path(std::string_view folder, std::string_view path) {
  if (path.starts_with("/")) {
    return normal_path(path);
  }
  return normal_path(std::string(folder) + "/" + std::string(path));
}

bool has_wildcard(std::string_view pattern) {
  return pattern.find_first_of("*?[") != std::string_view::npos;
}

bool matches(std::string_view pattern, std::string_view path) {
  const auto patterns = components(pattern);
  const auto parts = components(path);
  if (patterns.size() != parts.size()) {
    return false;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!match_component(patterns[i], parts[i])) {
      return false;
    }
  }
  return true;
}

std::vector<CopyItem> find_in_context(const Recipe& recipe, const std::string& source) {
  const std::string path = normal_path(source);
  for (const auto& [name, bytes] : recipe.files) {
    if (normal_path(name) == path) {
      CopyItem item;
      item.name = base_name(path);
      item.entries.push_back(CopyEntry{"", "", bytes, 0644});
      return {std::move(item)};
    }
  }
  const Names names = normal_names(recipe);
  if (auto item = exactly(names, path)) {
    return {std::move(*item)};
  }
  if (!has_wildcard(path)) {
    return {};
  }
  // A wildcard names files and folders at its own depth.
  const std::size_t depth = components(path).size();
  std::map<std::string, bool> found;
  for (const auto& [name, file] : names) {
    const auto parts = components(name);
    if (parts.size() < depth) {
      continue;
    }
    std::string head;
    for (std::size_t i = 0; i < depth; ++i) {
      head.append("/").append(parts[i]);
    }
    if (!found.contains(head) && matches(path, head)) {
      found.emplace(head, true);
    }
  }
  std::vector<CopyItem> items;
  for (const auto& [head, unused] : found) {
    if (auto item = exactly(names, head)) {
      items.push_back(std::move(*item));
    }
  }
  return items;
}

}  // namespace thaw::image
