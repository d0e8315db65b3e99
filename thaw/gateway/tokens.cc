// SPDX-License-Identifier: Apache-2.0
//
// How workspaces and tokens come and go.
#include <algorithm>

#include "thaw/codec/api_key.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/gateway/access.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/store/blob_store.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t most_tokens = 10'000;  // of a workspace
constexpr std::size_t longest_name = 100;
constexpr Duration longest_life = std::chrono::hours(24 * 366 * 10);
constexpr Duration longest_grace = std::chrono::hours(24 * 30);
// A use that is on disk is as good as one that is this much later.
constexpr Duration use_is_fresh_for = std::chrono::minutes(10);

std::string new_secret() {
  return std::string(codec::secret_prefix) + codec::base64url_encode(store::random_bytes(32));
}

WallTime later(WallTime now, Duration by) {
  return now + std::chrono::duration_cast<WallTime::duration>(by);
}

Error no_such_token(const model::TokenId& id) {
  return Error::not_found("token " + id.str().substr(0, 80) +
                          " does not exist; `thaw token list` shows all");
}

Result<void> check(const TokenWish& wish) {
  const bool is_readable = wish.name.size() <= longest_name &&
                           std::none_of(wish.name.begin(), wish.name.end(), [](char c) {
                             return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
                           });
  if (!is_readable) {
    return Error::invalid_argument("the name of a token has at most " +
                                   std::to_string(longest_name) + " bytes of readable text");
  }
  if (wish.good_for < Duration::zero() || wish.good_for > longest_life) {
    return Error::invalid_argument("a token is good for ten years at most, or until it is revoked");
  }
  return model::check_function_pattern(wish.grants.functions);
}

}  // namespace

Result<std::shared_ptr<const model::Workspace>> Access::workspace_named(
    const std::string& name) const {
  for (const auto& [id, workspace] : catalog_.workspaces.all()) {
    if (workspace->name == name) {
      return workspace;
    }
  }
  return Error::not_found("workspace '" + name.substr(0, 80) +
                          "' does not exist; `thaw workspace create` makes it");
}

async::Task<model::Workspace> Access::create_workspace(std::string name) {
  // It is a part of its functions' host names, beside the environment and the label.
  constexpr std::size_t longest = 20;
  THAW_CO_TRY_VOID(check_label(name));
  if (name.size() > longest) {
    co_return Error::invalid_argument("the name of a workspace has at most " +
                                      std::to_string(longest) + " letters: '" + name + "' has " +
                                      std::to_string(name.size()));
  }
  if (workspace_named(name)) {
    co_return Error::already_exists("workspace '" + name + "' exists already");
  }
  model::Workspace workspace;
  workspace.id = model::WorkspaceId(codec::random_id("ac"));
  workspace.name = std::move(name);
  model::Environment environment;
  environment.id = model::EnvironmentId(codec::random_id("en"));
  environment.workspace = workspace.id;
  environment.name = "main";
  environment.created_at = wall_now();
  // The environment first: a workspace that is to be seen has one, also after a crash.
  THAW_CO_TRY_VOID(co_await catalog_.environments.put(std::move(environment)));
  THAW_CO_TRY_VOID(co_await catalog_.workspaces.put(workspace));
  co_return workspace;
}

async::Task<NewToken> Access::create_token(TokenWish wish) {
  THAW_CO_TRY_VOID(check(wish));
  // all workspaces: the owner is the one that is asked for
  if (catalog_.tokens.find_by_owner(wish.workspace.str()).size() >= most_tokens) {
    co_return Error::resource_exhausted("the workspace has " + std::to_string(most_tokens) +
                                        " tokens, and no more are kept; `thaw token revoke` ends "
                                        "those that nobody needs");
  }
  NewToken made;
  made.id = model::TokenId(codec::random_id(codec::token_id_prefix));
  made.secret = new_secret();
  model::Token token;
  token.id = made.id;
  token.workspace = std::move(wish.workspace);
  token.name = std::move(wish.name);
  token.secret_sha256_hex = store::sha256_hex(made.secret);
  token.created_at = wall_now();
  token.grants = std::move(wish.grants);
  if (wish.good_for > Duration::zero()) {
    token.expires_at = later(token.created_at, wish.good_for);
  }
  THAW_CO_TRY_VOID(co_await catalog_.tokens.put(std::move(token)));
  co_return made;
}

async::Task<NewToken> Access::rotate_token(model::TokenId id, Duration grace) {
  if (grace < Duration::zero() || grace > longest_grace) {
    co_return Error::invalid_argument("an old secret is good for 30 days more at most");
  }
  const auto known = catalog_.tokens.find(id.str());
  if (!known) {
    co_return no_such_token(id);
  }
  NewToken made;
  made.id = id;
  made.secret = new_secret();
  model::Token token = *known;
  token.old.reset();
  if (grace > Duration::zero()) {
    token.old = model::OldSecret{token.secret_sha256_hex, later(wall_now(), grace)};
  }
  token.secret_sha256_hex = store::sha256_hex(made.secret);
  THAW_CO_TRY_VOID(co_await catalog_.tokens.put(std::move(token)));
  co_return made;
}

async::Task<void> Access::revoke_token(model::TokenId id) {
  if (!catalog_.tokens.find(id.str())) {
    co_return no_such_token(id);
  }
  proven_.erase(id.str());
  uses_.erase(id.str());
  co_return co_await catalog_.tokens.erase(id.str());
}

std::optional<WallTime> Access::last_use_of(const model::Token& token) const {
  const auto use = uses_.find(token.id.str());
  return use == uses_.end() ? token.last_used_at : use->second;
}

async::Task<void> Access::write_uses(std::size_t most) {
  catalog::Change change;
  std::size_t count = 0;
  std::vector<std::pair<std::string, WallTime>> written;
  for (auto use = uses_.begin(); use != uses_.end() && count < most;) {
    const auto known = catalog_.tokens.find(use->first);
    if (known && later(known->last_used_at.value_or(WallTime{}), use_is_fresh_for) <= use->second) {
      model::Token token = *known;
      token.last_used_at = use->second;
      change.put(catalog_.tokens, std::move(token));
      written.push_back(*use);
      ++count;
    }
    use = uses_.erase(use);
  }
  if (count > 0) {
    const Result<void> applied = co_await catalog_.apply(std::move(change));
    if (!applied) {
      uses_.insert(written.begin(), written.end());  // for the next round, unless used meanwhile
      co_return applied;
    }
  }
  co_return ok();
}

async::Task<void> Access::forget_expired(WallTime then, std::size_t most) {
  catalog::Change change;
  std::size_t count = 0;
  // all workspaces: what is over is over everywhere
  for (const auto& [id, token] : catalog_.tokens.all()) {
    if (count < most && token->expires_at && *token->expires_at < then) {
      change.erase(catalog_.tokens, id);
      ++count;
    }
  }
  if (count > 0) {
    THAW_CO_TRY_VOID(co_await catalog_.apply(std::move(change)));
  }
  co_return ok();
}

}  // namespace thaw::gateway
