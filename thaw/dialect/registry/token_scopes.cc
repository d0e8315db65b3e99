// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/token_scopes.h"

#include <algorithm>
#include <optional>

#include "thaw/codec/encoding.h"
#include "thaw/image/image_name.h"

namespace thaw::dialect::registry {

namespace {

constexpr std::size_t most_scopes = 64;

// What stands before the next `mark`, which is taken off `text` with it.
std::string_view next_of(std::string_view& text, char mark) {
  const auto end = text.find(mark);
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return word;
}

std::optional<TokenScope> read_scope(std::string_view word) {
  if (word == catalog_scope) {
    return TokenScope{"", {.pull = true}};
  }
  constexpr std::string_view kind = "repository:";
  if (!word.starts_with(kind)) {
    return std::nullopt;
  }
  word.remove_prefix(kind.size());
  const auto colon = word.rfind(':');
  if (colon == std::string_view::npos || !image::is_repository_path(word.substr(0, colon))) {
    return std::nullopt;
  }
  TokenScope scope{std::string(word.substr(0, colon)), {}};
  std::string_view actions = word.substr(colon + 1);
  while (!actions.empty()) {
    const std::string_view action = next_of(actions, ',');
    scope.actions.pull |= action == "pull" || action == "*";
    scope.actions.push |= action == "push" || action == "*";
    scope.actions.erase |= action == "delete" || action == "*";
  }
  return scope;
}

}  // namespace

std::vector<TokenScope> read_scopes(std::string_view text) {
  std::vector<TokenScope> scopes;
  while (!text.empty() && scopes.size() < most_scopes) {
    if (auto scope = read_scope(next_of(text, ' '))) {
      scopes.push_back(std::move(*scope));
    }
  }
  return scopes;
}

std::vector<TokenScope> scopes_of_query(std::string_view query) {
  std::string words;
  while (!query.empty()) {
    std::string_view value = next_of(query, '&');
    if (next_of(value, '=') == "scope") {
      std::string word(value);
      std::replace(word.begin(), word.end(), '+', ' ');
      words += codec::percent_decode(word) + " ";
    }
  }
  return read_scopes(words);
}

std::string write_scope(const TokenScope& scope) {
  if (scope.repository.empty()) {
    return std::string(catalog_scope);
  }
  std::string actions;
  for (const auto& [is_there, name] :
       {std::pair(scope.actions.pull, "pull"), std::pair(scope.actions.push, "push"),
        std::pair(scope.actions.erase, "delete")}) {
    if (is_there) {
      actions += (actions.empty() ? "" : ",") + std::string(name);
    }
  }
  return "repository:" + scope.repository + ":" + actions;
}

}  // namespace thaw::dialect::registry
