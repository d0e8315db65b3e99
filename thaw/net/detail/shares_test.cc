// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/shares.h"

#include <doctest/doctest.h>

#include "thaw/async/task_group.h"

using namespace thaw;
using namespace thaw::net::detail;

namespace {

constexpr std::size_t kib = 1024;
using Kind = Shares::Kind;

// Adds `sign` to what has been let in, once there is room.
async::Task<void> come_in(std::shared_ptr<Account> account, std::size_t bytes, char sign,
                          std::string& order) {
  THAW_CO_TRY_VOID(co_await account->reserve(bytes, Instant::max()));
  order += sign;
  co_return ok();
}

}  // namespace

TEST_CASE("an account has a limit, an owner a larger one, and all together have one") {
  const auto shares = std::make_shared<Shares>(1024 * kib);
  const auto peer = shares->account(Kind::peer, "address 1");
  const auto owner = shares->account(Kind::owner, "workspace 1");
  CHECK(peer->has_room(256 * kib));
  CHECK_FALSE(peer->has_room(257 * kib));
  CHECK(owner->has_room(512 * kib));
  CHECK_FALSE(owner->has_room(513 * kib));
  CHECK(shares->account(Kind::peer, "address 1") == peer);
}

TEST_CASE("a container's bytes are its owner's too") {
  const auto shares = std::make_shared<Shares>(1024 * kib);
  const auto owner = shares->account(Kind::owner, "workspace 1");
  const auto first = shares->account(Kind::peer, "container 1", owner);
  const auto second = shares->account(Kind::peer, "container 2", owner);
  Held one(first);
  one.set(250 * kib);
  Held two(second);
  two.set(250 * kib);
  CHECK(owner->used() == 500 * kib);
  CHECK_FALSE(first->has_room(10 * kib));
  CHECK_FALSE(owner->has_room(20 * kib));
  CHECK(first->exhausted("a body").message().find("container 1") != std::string::npos);
  two.set(0);
  CHECK(owner->used() == 250 * kib);
}

TEST_CASE("who comes last still gets a little while others hold all that is shared") {
  const auto shares = std::make_shared<Shares>(1024 * kib);
  std::vector<std::unique_ptr<Held>> greedy;
  for (int i = 0; i < 4; ++i) {
    const std::string name = "workspace " + std::to_string(i);
    greedy.push_back(std::make_unique<Held>(shares->account(Kind::owner, name)));
    greedy.back()->set(300 * kib);
  }
  const auto late = shares->account(Kind::peer, "address 9");
  CHECK(late->has_room(16 * kib));
  CHECK_FALSE(late->has_room(17 * kib));
  CHECK_FALSE(greedy[0]->account()->has_room(1));
}

TEST_CASE(
    "many addresses that hold little each do not hold more than there is, and no owner waits") {
  const auto shares = std::make_shared<Shares>(1024 * kib);
  std::vector<std::unique_ptr<Held>> few;
  for (int i = 0; i < 3; ++i) {
    const std::string name = "workspace " + std::to_string(i);
    few.push_back(std::make_unique<Held>(shares->account(Kind::owner, name)));
    few.back()->set(300 * kib);
  }
  std::vector<std::unique_ptr<Held>> many;
  for (int i = 0; i < 200; ++i) {
    const auto account = shares->account(Kind::peer, "address " + std::to_string(i));
    if (account->has_room(10 * kib)) {
      many.push_back(std::make_unique<Held>(account));
      many.back()->set(10 * kib);
    }
  }
  CHECK(many.size() * 10 * kib <= shares->limit() / 8);
  CHECK(many.size() >= 10);
  CHECK(shares->account(Kind::owner, "workspace 9")->has_room(10 * kib));
}

TEST_CASE("who waits for room gets it in the order of arrival") {
  async::Loop loop;
  async::TaskGroup tasks(loop);
  const auto shares = std::make_shared<Shares>(1024 * kib);
  const auto account = shares->account(Kind::peer, "address 1");
  std::string order;
  account->charge(200 * kib);
  tasks.start("large", come_in(account, 100 * kib, 'L', order));
  tasks.start("small", come_in(account, 10 * kib, 's', order));
  (void)loop.run_task(async::sleep_for(1ms));
  CHECK(order == "");  // the small one does not overtake
  account->release(150 * kib);
  (void)loop.run_task(tasks.join(monotonic_now() + 20s));
  CHECK(order == "Ls");
  CHECK(account->used() == 160 * kib);
}

TEST_CASE("what is larger than the account is refused at once; who leaves the line has nothing") {
  async::Loop loop;
  async::TaskGroup tasks(loop);
  const auto shares = std::make_shared<Shares>(1024 * kib);
  const auto account = shares->account(Kind::peer, "address 1");
  const auto refused = loop.run_task(account->reserve(300 * kib, Instant::max()));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(refused.error().message().find("0.3 MB") != std::string::npos);
  account->charge(256 * kib);
  std::string order;
  for (int i = 0; i < 64; ++i) {
    tasks.start("waits", come_in(account, kib, 'w', order));
  }
  (void)loop.run_task(tasks.stop());
  CHECK(order == "");
  account->release(256 * kib);
  CHECK(account->used() == 0);
  CHECK(loop.run_task(account->reserve(kib, Instant::max())));
  account->release(kib);
}

TEST_CASE("who finds no room in time is told who holds how much") {
  async::Loop loop;
  const auto shares = std::make_shared<Shares>(1024 * kib);
  const auto account = shares->account(Kind::peer, "address 1");
  account->charge(256 * kib);
  const auto late = loop.run_task(account->reserve(kib, monotonic_now()));
  REQUIRE(!late);
  CHECK(late.error().message().find("address 1, of at most 0.3 MB") != std::string::npos);
  account->release(256 * kib);
}
