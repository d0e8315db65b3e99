// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/token.h"

#include <algorithm>
#include <utility>

namespace thaw::model {

namespace {

constexpr std::pair<std::string_view, TokenScope> scope_words[] = {{"invoke", TokenScope::invoke},
                                                                   {"read", TokenScope::read},
                                                                   {"deploy", TokenScope::deploy},
                                                                   {"admin", TokenScope::admin}};

constexpr std::size_t longest_pattern = 200;

bool is_name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '*' || c == '/';
}

// Goes back to the last star only, so that it takes no more than the product of both lengths.
bool is_like(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

TokenScopes with_held(TokenScopes scopes) {
  if (scopes.has(TokenScope::admin)) {
    return all_scopes;
  }
  return scopes.has(TokenScope::deploy) ? scopes | TokenScope::read : scopes;
}

}  // namespace

std::string scopes_text(TokenScopes scopes, std::string_view between) {
  std::string text;
  for (const auto& [word, scope] : scope_words) {
    if (scopes.has(scope)) {
      text += text.empty() ? "" : between;
      text += word;
    }
  }
  return text;
}

Result<TokenScopes> parse_scopes(std::string_view text) {
  TokenScopes scopes;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(", "), text.size()));
    if (text.empty()) {
      break;
    }
    const std::string_view word = text.substr(0, text.find_first_of(", "));
    text.remove_prefix(word.size());
    const auto* const known =
        std::find_if(std::begin(scope_words), std::end(scope_words),
                     [word](const auto& entry) { return entry.first == word; });
    if (word == "all") {
      scopes = all_scopes;
    } else if (known != std::end(scope_words)) {
      scopes = scopes | known->second;
    } else {
      return Error::invalid_argument("there is no scope '" + std::string(word.substr(0, 40)) +
                                     "'; there are invoke, read, deploy and admin");
    }
  }
  if (scopes == TokenScopes()) {
    return Error::invalid_argument(
        "a token needs a scope at least: invoke, read, deploy, admin, or several of them with "
        "commas between");
  }
  return scopes;
}

bool Grants::allow(TokenScopes any_of) const { return (with_held(scopes).bits & any_of.bits) != 0; }

bool Grants::names_app(std::string_view app) const {
  const std::string_view pattern = functions;
  return !is_narrow() || is_like(pattern.substr(0, pattern.find('/')), app);
}

bool Grants::names(std::string_view app, std::string_view function) const {
  if (!names_app(app)) {
    return false;
  }
  const std::size_t slash = functions.find('/');
  return slash == std::string::npos ||
         is_like(std::string_view(functions).substr(slash + 1), function);
}

Result<void> check_function_pattern(std::string_view pattern) {
  const bool is_whole = pattern.size() <= longest_pattern &&
                        std::all_of(pattern.begin(), pattern.end(), is_name_letter) &&
                        std::count(pattern.begin(), pattern.end(), '/') <= 1 &&
                        !pattern.starts_with('/') && !pattern.ends_with('/');
  if (is_whole) {
    return ok();
  }
  return Error::invalid_argument(
      "'" + std::string(pattern.substr(0, 80)) +
      "' names no functions: write APP or APP/FUNCTION, where * stands for any letters, in at "
      "most " +
      std::to_string(longest_pattern) + " letters");
}

}  // namespace thaw::model
