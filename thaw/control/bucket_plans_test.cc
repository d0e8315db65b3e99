// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/bucket_plans.h"

#include <doctest/doctest.h>

namespace thaw::control {

namespace {

model::BucketMount mount_at(const std::string& endpoint) {
  model::BucketMount mount;
  mount.bucket = "weights";
  mount.endpoint = endpoint;
  mount.path = "/w";
  mount.secret = model::SecretId("st-1");
  return mount;
}

const std::vector<std::string> keys = {"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=a=b"};

}  // namespace

TEST_CASE("an endpoint is a scheme, a host and a port") {
  struct Row {
    const char* endpoint;
    const char* origin;
  };
  for (const Row& row : {Row{"https://store.example", "https://store.example:443"},
                         Row{"http://STORE.lan:9000/", "http://store.lan:9000"},
                         Row{"http://10.0.0.7", "http://10.0.0.7:80"},
                         Row{"", "https://s3.us-east-1.amazonaws.com:443"}}) {
    const auto plan = bucket_plan(mount_at(row.endpoint), keys);
    REQUIRE(plan);
    CHECK(plan->origin() == row.origin);
    CHECK(plan->access_key_id == "id");
    CHECK(plan->secret_access_key == "a=b");
  }
}

TEST_CASE("what is no endpoint is refused") {
  for (const char* endpoint :
       {"store.example", "ftp://store", "http://", "http://a:0", "http://a:70000", "http://a:x",
        "http://user@store", "http://store/path", "http://a b", "http://[::1]:9", "http://-a",
        "http://store?x", "http://store\n:80"}) {
    CHECK(bucket_plan(mount_at(endpoint), keys).error().code() == Code::invalid_argument);
  }
}

TEST_CASE("the region of the credentials names the endpoint that nobody names") {
  auto env = keys;
  env.emplace_back("AWS_REGION=eu-west-1");
  const auto plan = bucket_plan(mount_at(""), env);
  REQUIRE(plan);
  CHECK(plan->host == "s3.eu-west-1.amazonaws.com");
  env.back() = "AWS_REGION=a/b";
  CHECK_FALSE(bucket_plan(mount_at(""), env));
}

TEST_CASE("a secret without both keys, or with others than keys are, is said to be so") {
  CHECK_FALSE(bucket_plan(mount_at("http://a"), {}));
  CHECK_FALSE(bucket_plan(mount_at("http://a"), {keys[0]}));
  CHECK_FALSE(bucket_plan(mount_at("http://a"), {keys[0], "AWS_SECRET_ACCESS_KEY=a\nb"}));
  model::BucketMount of_everybody = mount_at("http://a");
  of_everybody.secret = model::SecretId();
  const auto plan = bucket_plan(of_everybody, {});
  REQUIRE(plan);
  CHECK(plan->access_key_id.empty());
}

TEST_CASE("keys have another store's names too") {
  const auto plan = bucket_plan(mount_at("https://a"),
                                {"GOOGLE_ACCESS_KEY_ID=id", "GOOGLE_ACCESS_KEY_SECRET=secret"});
  REQUIRE(plan);
  CHECK(plan->secret_access_key == "secret");
}

}  // namespace thaw::control
