// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/bucket_endpoints.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "thaw/codec/sigv4.h"
#include "thaw/worker/bucket_listing.h"

namespace thaw::worker {

namespace {

constexpr Duration resolve_limit = std::chrono::seconds(5);
constexpr Duration answer_limit = std::chrono::seconds(15);

// "NoSuchBucket": what an endpoint calls its error; empty if it says nothing that looks so.
std::string code_in(std::string_view body) {
  const std::size_t begin = body.find("<Code>");
  const std::size_t end = begin == std::string_view::npos ? begin : body.find("</Code>", begin);
  if (end == std::string_view::npos) {
    return {};
  }
  const std::string_view code = body.substr(begin + 6, end - begin - 6);
  const bool is_word = code.size() <= 64 && std::all_of(code.begin(), code.end(), [](char c) {
                         return std::isalnum(static_cast<unsigned char>(c)) != 0;
                       });
  return is_word ? std::string(code) : std::string();
}

Error refusal(const BucketPlan& plan, const net::WebAnswer& answer) {
  const std::string code = code_in(answer.body);
  const std::string said =
      "(" + std::to_string(answer.status) + (code.empty() ? "" : " " + code) + ")";
  const std::string bucket = "the bucket '" + plan.bucket + "' at " + plan.origin();
  if (answer.status == 401 || answer.status == 403) {
    return Error::permission_denied(
        bucket +
        (plan.access_key_id.empty()
             ? " is not everybody's, and its mount has no secret with credentials "
             : " is refused to the credentials of its secret ") +
        said);
  }
  if (answer.status == 404) {
    return Error::not_found(bucket + " does not exist " + said);
  }
  return Error::unavailable(bucket + " cannot be listed: its endpoint answers " + said);
}

}  // namespace

async::Task<std::vector<net::IpAddress>> BucketEndpoints::addresses_of(net::WebUrl url,
                                                                       std::string share) {
  THAW_CO_TRY(std::vector<net::IpAddress> found,
              co_await resolver_.resolve(url.host, std::move(share), resolve_limit));
  // What a name stands for here is not told to who names it.
  std::erase_if(found,
                [&](const net::IpAddress& address) { return !judge_(url, address).has_value(); });
  if (found.empty()) {
    const std::string port = std::to_string(url.port);
    co_return Error::permission_denied(
        "the endpoint " + url.host + ":" + port +
        " of a bucket is none of the world's, or this server's own; whoever runs this server may "
        "allow it with [buckets] allow = [\"" +
        url.host + ":" + port + "\"] in its configuration");
  }
  co_return found;
}

async::Task<BucketPlan> BucketEndpoints::check(BucketPlan plan, std::string share) {
  if (plan.scheme == "https" && net::IpAddress::parse(plan.host)) {
    co_return Error::invalid_argument("the endpoint " + plan.origin() +
                                      " of a bucket has no name that a certificate could be for; "
                                      "name it, or use http");
  }
  for (int tries = 1;; ++tries) {
    net::WebRequest request;
    THAW_CO_TRY(request.url, net::parse_web_url(listing_url(plan)));
    THAW_CO_TRY(request.addresses, co_await addresses_of(request.url, share));
    request.may_connect = [judge = judge_, url = request.url](const net::IpAddress& address) {
      return judge(url, address).has_value();
    };
    request.headers = listing_headers(plan, wall_now());
    request.limit = answer_limit;
    const Result<net::WebAnswer> answer = co_await client_.get(std::move(request));
    if (!answer) {
      co_return Error(answer.error().code(), "the endpoint " + plan.origin() + " of the bucket '" +
                                                 plan.bucket + "': " + answer.error().message());
    }
    if (answer->status >= 200 && answer->status < 300) {
      co_return plan;
    }
    const std::string region(answer->headers.find("x-amz-bucket-region").value_or(""));
    if (tries > 1 || !move_to_region(plan, region)) {
      co_return refusal(plan, *answer);
    }
  }
}

}  // namespace thaw::worker
