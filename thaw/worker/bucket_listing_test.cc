// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/bucket_listing.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "thaw/codec/sigv4.h"

namespace thaw::worker {

namespace {

BucketPlan plan_at(const std::string& host, std::uint16_t port) {
  BucketPlan plan;
  plan.bucket = "weights";
  plan.scheme = "http";
  plan.host = host;
  plan.port = port;
  plan.region = "eu-west-1";
  plan.access_key_id = "id";
  plan.secret_access_key = "secret";
  return plan;
}

}  // namespace

TEST_CASE("the request is signed as who checks such signatures wants it") {
  for (const char* prefix : {"", "a b/é/"}) {
    for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{9000}}) {
      BucketPlan plan = plan_at("store.lan", port);
      plan.prefix = prefix;
      plan.session_token = "token";
      plan.requester_pays = true;
      const auto headers = listing_headers(plan, wall_now());
      const std::string url = listing_url(plan);
      const std::string query = url.substr(url.find('?') + 1);
      const std::string host = port == 80 ? "store.lan" : "store.lan:9000";
      CHECK(url.starts_with("http://" + host + "/weights?"));
      const codec::SignedRequest request{
          .method = "GET", .path = "/weights", .query = query, .host = host, .headers = headers};
      const auto signature = codec::read_sigv4(request);
      REQUIRE(signature);
      REQUIRE(*signature);
      CHECK((*signature)->region == "eu-west-1");
      CHECK(codec::check_time_of(**signature, wall_now()));
      CHECK(codec::is_signed_by(request, **signature, (*signature)->payload, "secret"));
      CHECK_FALSE(codec::is_signed_by(request, **signature, (*signature)->payload, "other"));
    }
  }
}

TEST_CASE("without credentials nothing is signed") {
  BucketPlan plan = plan_at("store.lan", 80);
  plan.access_key_id.clear();
  CHECK(listing_headers(plan, wall_now()).empty());
}

TEST_CASE("only an endpoint that is named after its region moves to another one") {
  BucketPlan plan = plan_at("store.lan", 80);
  CHECK_FALSE(move_to_region(plan, "us-east-2"));
  plan = plan_at("s3.eu-west-1.amazonaws.com", 443);
  CHECK_FALSE(move_to_region(plan, ""));
  CHECK_FALSE(move_to_region(plan, "eu-west-1"));
  CHECK_FALSE(move_to_region(plan, "evil.example/"));
  CHECK(move_to_region(plan, "us-east-2"));
  CHECK(plan.host == "s3.us-east-2.amazonaws.com");
}

}  // namespace thaw::worker
