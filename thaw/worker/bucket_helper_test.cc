// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/bucket_helper.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace thaw::worker {

namespace {

BucketPlan plan_at(const std::string& host) {
  BucketPlan plan;
  plan.bucket = "weights";
  plan.scheme = "http";
  plan.host = host;
  plan.port = 9000;
  plan.region = "eu-west-1";
  plan.prefix = "deep/";
  plan.target = "/w";
  plan.access_key_id = "an-id";
  plan.secret_access_key = "a-secret";
  plan.session_token = "a-token";
  return plan;
}

bool has(const std::vector<std::string>& texts, const std::string& wanted) {
  return std::find(texts.begin(), texts.end(), wanted) != texts.end();
}

}  // namespace

TEST_CASE("what serves a bucket is nobody, in a network that has one door") {
  const BucketHelper helper("/data/bucket-helper");
  const auto spec = helper.spec_for(plan_at("store.lan"), "/run/x");
  CHECK(spec.user == "65534:65534");
  CHECK(spec.network == sandbox::SandboxSpec::Network::none);
  CHECK(spec.door_port == 9000);
  CHECK(spec.limits.memory_bytes > 0);
  CHECK(spec.profile == sandbox::Profile::function);
  CHECK(spec.guests == sandbox::SandboxSpec::Guests::none);
  for (const sandbox::BindMount& bind : spec.binds) {
    CHECK(bind.access == sandbox::BindMount::Access::read_only);
  }
}

TEST_CASE("credentials are in its environment and in no command line") {
  const BucketHelper helper("/data/bucket-helper");
  const auto spec = helper.spec_for(plan_at("store.lan"), "/run/x");
  for (const std::string& word : spec.argv) {
    for (const char* secret : {"an-id", "a-secret", "a-token"}) {
      CHECK(word.find(secret) == std::string::npos);
    }
  }
  CHECK(has(spec.env, "RCLONE_CONFIG_B_SECRET_ACCESS_KEY=a-secret"));
  CHECK(has(spec.env, "RCLONE_CONFIG_B_SESSION_TOKEN=a-token"));
  CHECK(has(spec.argv, "b:weights/deep/"));
  CHECK(has(spec.argv, "--read-only"));
}

TEST_CASE("an endpoint is where its door is, by its name or by one that stands for it") {
  const BucketHelper helper("/data/bucket-helper");
  CHECK(BucketHelper::hosts_for(plan_at("store.lan")).find("127.0.0.1 store.lan\n") !=
        std::string::npos);
  CHECK(has(helper.spec_for(plan_at("store.lan"), "/run/x").env,
            "RCLONE_CONFIG_B_ENDPOINT=http://store.lan:9000"));
  CHECK(BucketHelper::hosts_for(plan_at("10.0.0.7")).find("10.0.0.7") == std::string::npos);
  CHECK(has(helper.spec_for(plan_at("10.0.0.7"), "/run/x").env,
            "RCLONE_CONFIG_B_ENDPOINT=http://bucket-endpoint:9000"));
}

TEST_CASE("the program that hands over a device is inside of this one") {
  CHECK(
      bucket_hand().starts_with("\x7f"
                                "ELF"));
}

}  // namespace thaw::worker
