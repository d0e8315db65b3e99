// SPDX-License-Identifier: Apache-2.0
//
// Buckets in real sandboxes, against a store of the test's own; where the machine has no rclone
// they say so and do nothing.
#include "thaw/worker/buckets.h"

#include <csignal>
#include <filesystem>

#include "thaw/sandbox/testing/fixture.h"
#include "thaw/worker/testing/fake_store.h"

using namespace thaw;
using namespace thaw::worker;
using sandbox::testing::House;
using sandbox::testing::Output;

namespace {

bool has_no_helper() {
  if (sandbox::testing::skipped()) {
    return true;
  }
  if (!std::filesystem::exists("/usr/bin/rclone")) {
    std::puts("skipped: buckets need rclone");
    return true;
  }
  return false;
}

// A server as far as buckets are concerned, and one container with a bucket at /b.
struct BucketHouse {
  testing::FakeStore store;
  House house;
  net::Resolver resolver{house.loop};
  net::WebClient client{house.loop, {}};
  bool may_reach = true;
  std::string run_folder = house.temporary.folder + "/run";
  Buckets buckets{{house.loop, *house.spawner,
                   BucketEndpoints(resolver, client,
                                   [this](const net::WebUrl&, const net::IpAddress&) {
                                     return may_reach
                                                ? ok()
                                                : Result<void>(Error::permission_denied("no"));
                                   }),
                   house.temporary.folder + "/data/bucket-helper", run_folder}};
  std::string told;
  int count = 0;

  BucketPlan plan() const {
    BucketPlan plan;
    plan.bucket = "weights";
    plan.scheme = "http";
    plan.host = "127.0.0.1";
    plan.port = store.port();
    plan.region = "us-east-1";
    plan.target = "/b";
    plan.access = Bind::Access::read_write;
    plan.access_key_id = "id";
    plan.secret_access_key = "secret";
    return plan;
  }
  async::Task<std::unique_ptr<BucketMount>> open(BucketPlan plan) {
    return buckets.open(std::move(plan), "ta-x-b" + std::to_string(++count), "ac-1",
                        [this](std::string text) { told += text + "\n"; });
  }
  std::unique_ptr<sandbox::Sandbox> start(BucketMount& mount, std::vector<std::string> argv) {
    sandbox::SandboxSpec spec = house.spec(std::move(argv));
    spec.served = {{"/b", Bind::Access::read_write}};
    auto container = house.start(std::move(spec));
    std::vector<sandbox::ServedMount> served = container->take_served();
    REQUIRE(served.size() == 1);
    mount.serve(std::move(served[0]));
    return container;
  }
  // What the probe prints that is run so, all of it flushed and gone afterwards.
  std::string out_of(std::vector<std::string> argv) {
    auto mount = house.run(open(plan()));
    auto container = start(*mount, std::move(argv));
    const Output output = house.finish(*container);
    house.run(mount->flush(10s));
    house.run(container->remove());
    house.run(mount->stop());
    return output.out;
  }
};

}  // namespace

TEST_CASE("what is in a bucket is read, what is written is there once it is closed") {
  if (has_no_helper()) return;
  BucketHouse at;
  at.store.put("deep/a", "first");
  CHECK(at.out_of({"cat", "/b/deep/a"}).starts_with("first"));
  CHECK(at.out_of({"put", "/b/new", "text"}) == "ok\n");
  CHECK(at.store.get("new") == "text");
  CHECK(at.out_of({"unlink", "/b/new"}) == "ok\n");
  CHECK(at.store.get("new") == "(none)");
  CHECK(at.out_of({"owner", "/b/deep/a"}) == "0:0\n");
  CHECK(at.told == "");
  // Nothing of them is left.
  CHECK(os::list_folder(at.run_folder).empty());
}

TEST_CASE("what cannot be served is said before a container starts") {
  if (has_no_helper()) return;
  BucketHouse at;
  const auto refusal = [&](BucketPlan plan) {
    auto opened = at.house.loop.run_task(at.open(std::move(plan)));
    REQUIRE_FALSE(opened);
    return opened.error();
  };
  at.store.refuses_with = 403;
  CHECK(refusal(at.plan()).code() == Code::permission_denied);
  CHECK(refusal(at.plan()).message().find("AccessDenied") != std::string::npos);
  at.store.refuses_with = 404;
  CHECK(refusal(at.plan()).code() == Code::not_found);
  at.store.refuses_with = 500;
  CHECK(refusal(at.plan()).code() == Code::unavailable);
  at.store.refuses_with = 0;
  at.may_reach = false;
  CHECK(refusal(at.plan()).message().find("[buckets] allow") != std::string::npos);
  at.may_reach = true;
  BucketPlan nameless = at.plan();
  nameless.scheme = "https";
  CHECK(refusal(std::move(nameless)).code() == Code::invalid_argument);
  CHECK(os::list_folder(at.run_folder).empty());
}

TEST_CASE("who waits for a silent endpoint ends with what serves the bucket") {
  if (has_no_helper()) return;
  BucketHouse at;
  at.store.put("a", "first");
  auto mount = at.house.run(at.open(at.plan()));
  at.store.is_silent = true;
  auto container = at.start(*mount, {"cat", "/b/a"});
  // Killed as a container is whose programs cannot end by themselves.
  mount->break_off_in(100ms);
  const Output output = at.house.finish(*container);
  CHECK(output.out.find("first") == std::string::npos);
  at.house.run(container->remove());
  at.house.run(mount->stop());
}

TEST_CASE("a helper that is killed is told, and its folder fails at once") {
  if (has_no_helper()) return;
  BucketHouse at;
  auto mount = at.house.run(at.open(at.plan()));
  mount->break_off_in(Duration{});
  auto container = at.start(*mount, {"list", "/b"});
  const std::string said = at.house.finish(*container).out;
  CHECK((said == "ENOTCONN\n" || said == "ECONNABORTED\n"));
  at.house.run(container->remove());
  at.house.run(mount->stop());
}
