// SPDX-License-Identifier: Apache-2.0
//
// A token lets whoever has its secret act in one workspace, as far as its grants go. Only digests
// of secrets are kept. Plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

// The numbers are on disks. admin holds all others; deploy holds read, for who changes a thing has
// to see it; invoke stands by itself.
enum class TokenScope : unsigned { invoke = 1, read = 2, deploy = 4, admin = 8 };

// Several of them.
struct TokenScopes {
  unsigned bits = 0;

  constexpr TokenScopes() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): one is some
  constexpr TokenScopes(TokenScope one) : bits(static_cast<unsigned>(one)) {}
  constexpr bool has(TokenScope one) const { return (bits & static_cast<unsigned>(one)) != 0; }
  constexpr bool operator==(const TokenScopes&) const = default;
};
constexpr TokenScopes operator|(TokenScopes a, TokenScopes b) {
  TokenScopes both;
  both.bits = a.bits | b.bits;
  return both;
}
constexpr TokenScopes operator|(TokenScope a, TokenScope b) { return TokenScopes(a) | b; }

inline constexpr TokenScopes all_scopes =
    TokenScopes(TokenScope::invoke) | TokenScope::read | TokenScope::deploy | TokenScope::admin;

// "invoke, read"; `between` stands between two of them.
std::string scopes_text(TokenScopes scopes, std::string_view between = ", ");
// Of words with commas or blanks between; "all" is all. invalid_argument names the word.
Result<TokenScopes> parse_scopes(std::string_view text);

// What a token may do.
struct Grants {
  TokenScopes scopes = all_scopes;
  // Empty: everything in the workspace. Else only functions, and those that it names: "APP" or
  // "APP/FUNCTION", where * stands for any letters. A pushed function is the app of its name.
  std::string functions;

  // Whether one of `any_of` is among them, or is held by one that is.
  bool allow(TokenScopes any_of) const;
  bool is_narrow() const { return !functions.empty(); }
  // Whether there may be functions of this app that it names.
  bool names_app(std::string_view app) const;
  bool names(std::string_view app, std::string_view function) const;
};
// At most 200 letters of names, '*', and one '/' at most.
Result<void> check_function_pattern(std::string_view pattern);

// The secret before the one that is good now, and until when it is good beside it.
struct OldSecret {
  std::string sha256_hex;
  WallTime good_until{};
};

struct Token {
  TokenId id;  // what the client sends beside the secret
  WorkspaceId workspace;
  std::string name;
  std::string secret_sha256_hex;
  WallTime created_at{};
  Grants grants = {};
  std::optional<WallTime> expires_at = std::nullopt;
  // Written now and then: up to some minutes old.
  std::optional<WallTime> last_used_at = std::nullopt;
  std::optional<OldSecret> old = std::nullopt;
};

}  // namespace thaw::model
