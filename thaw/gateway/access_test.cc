// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/access.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <vector>

#include "thaw/codec/api_key.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/sigv4.h"
#include "thaw/control/fleet_house_test.h"
#include "thaw/gateway/token_upkeep.h"

using namespace thaw;
using namespace thaw::gateway;
using model::TokenScope;

namespace {

constexpr Operation call = {"FunctionMap", TokenScope::invoke};
constexpr Operation look = {"AppList", TokenScope::invoke | TokenScope::read};
constexpr Operation change = {"AppPublish", TokenScope::deploy, Operation::Of::workspace};
constexpr Operation greet = {"Hello", model::all_scopes, Operation::Of::anything};

struct Door : control::FleetHouse {
  store::SecretBox box = std::move(*store::SecretBox::open(folder / "secret.key"));
  Access access{*catalog, &box};
  model::WorkspaceId workspace{"ac-1"};

  static async::Task<void> into(async::Task<NewToken> made, std::optional<NewToken>& out) {
    THAW_CO_TRY(out, co_await std::move(made));
    co_return ok();
  }
  NewToken gives(async::Task<NewToken> made) {
    std::optional<NewToken> token;
    await(into(std::move(made), token));
    REQUIRE(token);
    return *token;
  }
  NewToken makes(model::TokenScopes scopes, std::string functions = {}, Duration good_for = {}) {
    return gives(
        access.create_token({workspace, "mine", {scopes, std::move(functions)}, good_for}));
  }
  NewToken rotates(const NewToken& token, Duration grace) {
    return gives(access.rotate_token(token.id, grace));
  }
  bool is_good(const NewToken& token) const {
    return access.from_token(token.id.str(), token.secret).has_value();
  }
  Identity identity(const NewToken& token) const {
    return control::must(access.from_token(token.id.str(), token.secret));
  }
};

Code code_of(const Result<void>& outcome) { return outcome ? Code::ok : outcome.error().code(); }

}  // namespace

TEST_CASE("a token does what its scopes let it, and a refusal names what is missing") {
  Door f;
  const Identity caller = f.identity(f.makes(TokenScope::invoke));
  CHECK(check_may(caller, call));
  CHECK(check_may(caller, look));
  CHECK(check_may(caller, greet));
  const auto refused = check_may(caller, change);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == Code::permission_denied);
  CHECK(refused.error().message().find("the scope deploy") != std::string::npos);
  CHECK(refused.error().message().find("this token has invoke") != std::string::npos);
  const auto either = check_may(f.identity(f.makes(TokenScope::deploy)), call);
  REQUIRE_FALSE(either);
  CHECK(either.error().message().find("the scope invoke") != std::string::npos);
}

TEST_CASE("a token for some functions reaches nothing that is of all of the workspace") {
  Door f;
  const Identity narrow = f.identity(f.makes(model::all_scopes, "shop/pay*"));
  CHECK(check_may(narrow, call));
  CHECK(check_may(narrow, greet));
  CHECK(code_of(check_may(narrow, change)) == Code::permission_denied);
  CHECK(check_names(narrow, "shop", "payment"));
  CHECK(code_of(check_names(narrow, "shop", "refund")) == Code::permission_denied);
  CHECK(check_names(for_making(narrow), "shop", "refund"));
}

TEST_CASE("a token is good until its time is over, and is forgotten long after") {
  Door f;
  const NewToken token = f.makes(model::all_scopes, "", 1h);
  const NewToken other = f.makes(model::all_scopes);
  CHECK(f.is_good(token));
  CHECK(f.access.is_token(token.id));
  f.passes(1h);
  CHECK_FALSE(f.is_good(token));
  CHECK_FALSE(f.access.is_token(token.id));
  CHECK(f.is_good(other));
  f.await(f.access.forget_expired(wall_now() - 1h, 10));
  CHECK(f.catalog->tokens.all().size() == 2);
  f.await(f.access.forget_expired(wall_now() + 1h, 10));
  CHECK(f.catalog->tokens.all().size() == 1);
}

TEST_CASE("of a rotated token both secrets are good for a while, and then the new one") {
  Door f;
  const NewToken first = f.makes(model::all_scopes);
  CHECK(f.is_good(first));
  const NewToken second = f.rotates(first, 1h);
  CHECK(first.id == second.id);
  CHECK(first.secret != second.secret);
  CHECK(f.is_good(first));
  CHECK(f.is_good(second));
  f.passes(1h);
  CHECK_FALSE(f.is_good(first));
  CHECK(f.is_good(second));
  const NewToken third = f.rotates(second, Duration::zero());
  CHECK_FALSE(f.is_good(second));
  CHECK(f.is_good(third));
  const NewToken fourth = f.rotates(third, 1h);
  const NewToken fifth = f.rotates(fourth, 1h);
  CHECK_FALSE(f.is_good(third));  // of several before it the last only
  CHECK(f.is_good(fourth));
  CHECK(f.is_good(fifth));
  f.await(f.access.revoke_token(fifth.id));
  CHECK_FALSE(f.is_good(fourth));
  CHECK_FALSE(f.is_good(fifth));
}

TEST_CASE("a new secret, the first and each after it, is told as one key") {
  Door f;
  const NewToken first = f.makes(TokenScope::invoke);
  for (const NewToken& token : {first, f.rotates(first, 1h)}) {
    const codec::ApiKey shown{token.id.str(), token.secret};
    const std::string key = codec::api_key_text("r8_", shown);
    CHECK(key.size() == 3 + 22 + 43);
    const auto read = codec::parse_api_key(key);
    REQUIRE(read);
    CHECK(*read == shown);
  }
}

TEST_CASE("what cannot be a token is refused") {
  Door f;
  const auto refused = [&f](TokenWish wish) {
    auto made = f.loop.run_task(f.access.create_token(std::move(wish)));
    return made ? Code::ok : made.error().code();
  };
  CHECK(refused({f.workspace, std::string(101, 'a')}) == Code::invalid_argument);
  CHECK(refused({f.workspace, "a\nb"}) == Code::invalid_argument);
  CHECK(refused({f.workspace, "", {model::all_scopes, "a/b/c"}}) == Code::invalid_argument);
  CHECK(refused({f.workspace, "", {}, -1s}) == Code::invalid_argument);
  CHECK(refused({f.workspace, "", {}, 24h * 366 * 11}) == Code::invalid_argument);
  CHECK(f.catalog->tokens.all().empty());
  const auto gone = f.loop.run_task(f.access.rotate_token(model::TokenId("ak-none"), 1h));
  CHECK((!gone && gone.error().code() == Code::not_found));
  const auto long_grace =
      f.loop.run_task(f.access.rotate_token(model::TokenId("ak-none"), 24h * 31));
  CHECK((!long_grace && long_grace.error().code() == Code::invalid_argument));
}

TEST_CASE("when a token was used is written down now and then, and a revoked one stays so") {
  Door f;
  const NewToken used = f.makes(model::all_scopes);
  const NewToken idle = f.makes(model::all_scopes);
  const auto record_of = [&f](const NewToken& token) {
    return f.catalog->tokens.find(token.id.str());
  };
  CHECK(f.is_good(used));
  CHECK(f.access.last_use_of(*record_of(used)));
  CHECK_FALSE(f.access.last_use_of(*record_of(idle)));
  CHECK_FALSE(record_of(used)->last_used_at);
  f.await(f.access.write_uses(10));
  const auto first = record_of(used)->last_used_at;
  REQUIRE(first);
  f.passes(1min);
  CHECK(f.is_good(used));
  f.await(f.access.write_uses(10));
  CHECK(record_of(used)->last_used_at == first);  // it is fresh enough
  f.passes(10min);
  CHECK(f.is_good(used));
  f.await(f.access.write_uses(10));
  CHECK(*record_of(used)->last_used_at > *first);
  f.passes(10min);
  CHECK(f.is_good(used));
  f.await(f.access.revoke_token(used.id));
  f.await(f.access.write_uses(10));
  CHECK_FALSE(record_of(used));
}

TEST_CASE("a thousand tokens that are used at once are written down a few at a time") {
  Door f;
  std::vector<NewToken> tokens;
  for (int i = 0; i < 1'000; ++i) {
    tokens.push_back(f.makes(TokenScope::invoke, "", 1h));
  }
  for (const NewToken& token : tokens) {
    REQUIRE(f.is_good(token));
  }
  const auto written = [&f] {
    return std::count_if(f.catalog->tokens.all().begin(), f.catalog->tokens.all().end(),
                         [](const auto& entry) { return entry.second->last_used_at.has_value(); });
  };
  TokenUpkeep upkeep(f.loop, f.access, {.period = 1min, .in_a_round = 300, .keep_expired = 1h});
  upkeep.start();
  f.passes(61s);
  CHECK(written() >= 300);
  CHECK(written() <= 600);
  f.passes(5min);
  CHECK(written() == 1'000);
  f.passes(3h);
  CHECK(f.catalog->tokens.all().empty());
  f.await(upkeep.stop());
}

TEST_CASE("a request signed with the token's key is its token's, and each secret has its own") {
  Door f;
  const NewToken token = f.makes(TokenScope::invoke);
  const auto signed_with = [&f](const std::string& id, const std::string& key,
                                std::string_view body) {
    net::HttpRequest request;
    request.method = "POST";
    request.target = "/2015-03-31/functions/f/invocations?Qualifier=1";
    request.authority = "127.0.0.1:8700";
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wall_now());
    const std::time_t now = seconds.time_since_epoch().count();
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char date[20];
    std::strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &parts);
    request.headers.add("x-amz-date", date);
    codec::SigV4 signature;
    signature.access_key_id = id;
    signature.date = std::string(date, 8);
    signature.time = date;
    signature.region = "here";
    signature.service = "lambda";
    signature.signed_headers = {"host", "x-amz-date"};
    const codec::SignedRequest read{request.method, request.path(), request.query(),
                                    request.authority, request.headers.fields};
    const std::string text = codec::string_to_sign(
        signature, codec::canonical_request(read, signature, body, codec::SigV4Path::normalized));
    request.headers.add("authorization",
                        "AWS4-HMAC-SHA256 Credential=" + id + "/" + signature.scope() +
                            ", SignedHeaders=host;x-amz-date, Signature=" +
                            codec::sign_sigv4(codec::signing_key(signature, key), text));
    const auto who = f.access.from_signature(request, body);
    return who ? Code::ok : who.error().code();
  };
  const std::string body(64, '0');
  const std::string first = f.access.secret_access_key(*f.catalog->tokens.find(token.id.str()));
  CHECK(first.size() == 40);
  CHECK(signed_with(token.id.str(), first, body) == Code::ok);
  CHECK(signed_with(token.id.str(), first + "x", body) == Code::unauthenticated);
  CHECK(signed_with("ak-other", first, body) == Code::unauthenticated);
  f.rotates(token, 1h);
  const std::string second = f.access.secret_access_key(*f.catalog->tokens.find(token.id.str()));
  CHECK(first != second);
  CHECK(signed_with(token.id.str(), first, body) == Code::ok);
  CHECK(signed_with(token.id.str(), second, body) == Code::ok);
  f.passes(1h);
  CHECK(signed_with(token.id.str(), first, body) == Code::unauthenticated);
  CHECK(signed_with(token.id.str(), second, body) == Code::ok);
  f.await(f.access.revoke_token(token.id));
  CHECK(signed_with(token.id.str(), second, body) == Code::unauthenticated);
}

TEST_CASE("the headers that dialects add are read, and told to whom a request goes on to") {
  Door f;
  f.access.add_credential_headers({"their-key", "their-secret"});
  const NewToken token = f.makes(TokenScope::invoke);
  net::HttpRequest request;
  request.headers.add("their-key", token.id.str());
  request.headers.add("their-secret", token.secret);
  CHECK(f.access.from_request(request, call));
  const auto refused = f.access.from_request(request, change);
  CHECK((!refused && refused.error().code() == Code::permission_denied));
  CHECK(f.access.credential_headers_of(request.headers) ==
        std::vector<std::string>{"their-key", "their-secret"});
  net::HttpRequest bare;
  const auto nobody = f.access.from_request(bare, greet);
  CHECK((!nobody && nobody.error().code() == Code::unauthenticated));
}

TEST_CASE("a key of somebody else's does not stand before a token, and is not taken from it") {
  Door f;
  f.access.add_credential_headers({"their-key", "their-secret"});
  const NewToken token = f.makes(TokenScope::invoke);
  const std::string foreign = "Bearer app_" + std::string(65, 'a');
  net::Headers both;
  both.add("authorization", foreign);
  both.add("x-api-key", codec::api_key_text("", {token.id.str(), token.secret}));
  const auto who = f.access.from_headers(both);
  REQUIRE(who);
  CHECK(who->token == token.id);
  CHECK(f.access.credential_headers_of(both) == std::vector<std::string>{"x-api-key"});
  net::Headers alone;
  alone.add("authorization", foreign);
  const auto refused = f.access.from_headers(alone);
  CHECK((!refused && refused.error().code() == Code::unauthenticated));
  CHECK(f.access.credential_headers_of(alone).empty());
}

TEST_CASE("of headers that show a token, none goes on") {
  Door f;
  f.access.add_credential_headers({"their-key", "their-secret"});
  const NewToken token = f.makes(TokenScope::invoke);
  const std::string key = codec::api_key_text("sk-", {token.id.str(), token.secret});
  net::Headers headers;
  headers.add("authorization", "Bearer " + key);
  headers.add("x-api-key", key);
  headers.add("their-key", token.id.str());
  headers.add("their-secret", token.secret);
  auto hidden = f.access.credential_headers_of(headers);
  std::sort(hidden.begin(), hidden.end());
  CHECK(hidden ==
        std::vector<std::string>{"authorization", "their-key", "their-secret", "x-api-key"});
}
