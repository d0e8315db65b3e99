// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/logins.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

struct Door : control::FleetHouse {
  Access access{*catalog};
  Logins logins;

  explicit Door(LoginLimits limits = {}) : logins(access, limits) {}

  struct Answer {
    Code code = Code::internal;
    std::optional<Logins::Given> given;
  };
  static async::Task<void> wait(Door& f, std::string id, std::string secret, Duration time,
                                Answer& out) {
    auto given = co_await f.logins.wait(std::move(id), std::move(secret), monotonic_now() + time);
    out.code = given ? Code::ok : given.error().code();
    out.given = given ? *given : std::nullopt;
    co_return ok();
  }
  Answer waits(const Logins::Begun& login, Duration time = {}) {
    Answer answer;
    await(wait(*this, login.id, login.secret, time, answer));
    return answer;
  }
  Code approves(const std::string& code) {
    const auto done = logins.approve(code, model::WorkspaceId("ac-1"), "mine");
    return done ? Code::ok : done.error().code();
  }
};

}  // namespace

TEST_CASE("who asked gets a token once its code was approved, and the same one again") {
  Door f;
  const Logins::Begun login = f.logins.begin("10.0.0.1");
  Door::Answer early;
  f.tasks.start("waits", Door::wait(f, login.id, login.secret, 40s, early));
  f.passes(1s);
  CHECK(early.code == Code::internal);
  CHECK(f.catalog->tokens.all().empty());
  CHECK(f.approves(login.code) == Code::ok);
  f.passes(1s);
  REQUIRE(early.given);
  const auto who = f.access.from_token(early.given->token.id.str(), early.given->token.secret);
  REQUIRE(who);
  CHECK(who->workspace == model::WorkspaceId("ac-1"));
  CHECK(f.access.token_of(*who)->name == "mine");
  const Door::Answer again = f.waits(login);
  REQUIRE(again.given);
  CHECK(again.given->token.secret == early.given->token.secret);
  CHECK(f.catalog->tokens.all().size() == 1);
  f.passes(3min);
  CHECK(f.waits(login).code == Code::not_found);
}

TEST_CASE("a code is typed as people type") {
  Door f;
  const Logins::Begun login = f.logins.begin("10.0.0.1");
  CHECK(login.code.size() == 9);
  CHECK(login.code[4] == '-');
  std::string typed = " ";
  for (const char c : login.code) {
    typed += c == '-' ? ' ' : static_cast<char>(c - 'A' + 'a');
  }
  CHECK(f.approves(typed) == Code::ok);
  CHECK(f.waits(login).given);
}

TEST_CASE("what is not approved is over after some minutes, and leaves no token") {
  Door f;
  const Logins::Begun login = f.logins.begin("10.0.0.1");
  CHECK(f.waits(login, 5s).code == Code::ok);
  CHECK(!f.waits(login, 5s).given);
  f.passes(11min);
  CHECK(!f.logins.find(login.id));
  CHECK(f.approves(login.code) == Code::not_found);
  CHECK(f.waits(login).code == Code::not_found);
  // Nor does one that was approved, and that nobody comes for.
  const Logins::Begun other = f.logins.begin("10.0.0.1");
  CHECK(f.approves(other.code) == Code::ok);
  f.passes(11min);
  CHECK(f.waits(other).code == Code::not_found);
  CHECK(f.catalog->tokens.all().empty());
  CHECK(f.logins.size() == 0);
}

TEST_CASE("a token is for who has the secret, and many cannot wait for one login") {
  Door f;
  const Logins::Begun login = f.logins.begin("10.0.0.1");
  CHECK(f.approves(login.code) == Code::ok);
  CHECK(f.waits({login.id, "", std::string(64, '0')}).code == Code::not_found);
  CHECK(f.waits({login.id, "", ""}).code == Code::not_found);
  CHECK(f.waits({"tf-other", "", login.secret}).code == Code::not_found);
  const Logins::Begun slow = f.logins.begin("10.0.0.1");
  std::vector<Door::Answer> answers(6);
  for (Door::Answer& answer : answers) {
    f.tasks.start("waits", Door::wait(f, slow.id, slow.secret, 40s, answer));
  }
  f.passes(1s);
  CHECK(std::count_if(answers.begin(), answers.end(), [](const Door::Answer& answer) {
          return answer.code == Code::resource_exhausted;
        }) == 2);
  f.passes(60s);
}

TEST_CASE("a flood of logins of one address takes nobody else's place") {
  Door f;
  const Logins::Begun mine = f.logins.begin("10.0.0.1");
  for (int i = 0; i < 1'000; ++i) {
    f.logins.begin("10.0.0.2");
  }
  CHECK(f.logins.size() == 11);
  CHECK(f.logins.find(mine.id));
}

TEST_CASE("a flood of logins of several addresses takes the place of those who have most") {
  LoginLimits limits;
  limits.all = 50;
  Door f(limits);
  const Logins::Begun first = f.logins.begin("10.0.0.1");
  for (int i = 0; i < 1'000; ++i) {
    f.logins.begin("10.0.1." + std::to_string(i % 10));
  }
  CHECK(f.logins.size() == 50);
  CHECK(f.logins.find(first.id));
}

TEST_CASE("a network of 64 bits is one asker, however many addresses it has") {
  Door f;
  const Logins::Begun neighbour = f.logins.begin("[2001:db8:1:3::1]");
  const Logins::Begun mine = f.logins.begin("10.0.0.1");
  for (int i = 1; i <= 1'000; ++i) {
    f.logins.begin("[2001:db8:1:2::" + std::to_string(i) + "]");
  }
  CHECK(f.logins.size() == 12);
  CHECK(f.logins.find(neighbour.id));
  CHECK(f.logins.find(mine.id));
  // An IPv4 address that is written as an IPv6 one is what it is.
  f.logins.begin("[::ffff:10.0.0.1]");
  f.logins.begin("[::ffff:10.0.0.2]");
  CHECK(f.logins.size() == 14);
}

TEST_CASE("where all have as many, the oldest makes room") {
  LoginLimits limits;
  limits.all = 50;
  Door f(limits);
  for (int i = 0; i < 50; ++i) {
    f.logins.begin("10.0.1." + std::to_string(i));
  }
  const Logins::Begun mine = f.logins.begin("10.0.0.1");  // the first by name
  for (int i = 0; i < 49; ++i) {
    f.logins.begin("10.0.2." + std::to_string(i));
  }
  CHECK(f.logins.size() == 50);
  CHECK(f.logins.find(mine.id));
  f.logins.begin("10.0.3.1");
  CHECK(!f.logins.find(mine.id));
}

TEST_CASE("codes are guessed at a page a few times only, and then the login is over") {
  Door f;
  const Logins::Begun login = f.logins.begin("10.0.0.1");
  const model::WorkspaceId workspace("ac-1");
  for (int i = 0; i < 5; ++i) {
    CHECK(f.logins.approve_this(login.id, "BBBB-BBBB", workspace).error().code() ==
          Code::invalid_argument);
  }
  CHECK(f.logins.approve_this(login.id, "", workspace).error().code() == Code::not_found);
  CHECK(f.logins.approve_this(login.id, login.code, workspace).error().code() == Code::not_found);
  CHECK(f.waits(login).code == Code::not_found);
  const Logins::Begun next = f.logins.begin("10.0.0.1");
  CHECK(f.logins.approve_this(next.id, next.code, workspace));
  CHECK(f.waits(next).given);
}

TEST_CASE("no two logins have one code") {
  Door f;
  std::set<std::string> codes;
  for (int i = 0; i < 300; ++i) {
    codes.insert(f.logins.begin("10.0.0." + std::to_string(i)).code);
  }
  CHECK(codes.size() == 300);
}
