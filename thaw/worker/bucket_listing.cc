// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/bucket_listing.h"

#include <time.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "thaw/codec/sigv4.h"

namespace thaw::worker {

namespace {

// The SHA-256 of nothing.
constexpr std::string_view no_body =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string path_of(const BucketPlan& plan) { return "/" + plan.bucket; }

std::string percent_encoded(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

std::string query_of(const BucketPlan& plan) {
  std::string query = "list-type=2&max-keys=1";
  return plan.prefix.empty() ? query : query + "&prefix=" + percent_encoded(plan.prefix);
}

// As the client for the web writes it.
std::string host_header(const BucketPlan& plan) {
  const bool is_usual = plan.port == (plan.scheme == "https" ? 443 : 80);
  return is_usual ? plan.host : plan.host + ":" + std::to_string(plan.port);
}

std::string stamp(WallTime now) {
  const time_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  ::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

}  // namespace

std::string listing_url(const BucketPlan& plan) {
  return plan.scheme + "://" + host_header(plan) + path_of(plan) + "?" + query_of(plan);
}

std::vector<std::pair<std::string, std::string>> listing_headers(const BucketPlan& plan,
                                                                 WallTime now) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (plan.requester_pays) {
    headers.emplace_back("x-amz-request-payer", "requester");
  }
  if (plan.access_key_id.empty()) {
    return headers;
  }
  const std::string time = stamp(now);
  headers.emplace_back("x-amz-content-sha256", no_body);
  headers.emplace_back("x-amz-date", time);
  if (!plan.session_token.empty()) {
    headers.emplace_back("x-amz-security-token", plan.session_token);
  }
  std::sort(headers.begin(), headers.end());
  codec::SigV4 signature;
  signature.access_key_id = plan.access_key_id;
  signature.date = time.substr(0, 8);
  signature.region = plan.region;
  signature.service = "s3";
  signature.time = time;
  signature.signed_headers = {"host"};
  std::string names = "host";
  for (const auto& [name, value] : headers) {
    signature.signed_headers.push_back(name);
    names += ";" + name;
  }
  const std::string path = path_of(plan), query = query_of(plan), host = host_header(plan);
  const codec::SignedRequest request{
      .method = "GET", .path = path, .query = query, .host = host, .headers = headers};
  const std::string canonical =
      codec::canonical_request(request, signature, no_body, codec::path_rule_of(signature.service));
  const std::string signed_by =
      codec::sign_sigv4(codec::signing_key(signature, plan.secret_access_key),
                        codec::string_to_sign(signature, canonical));
  headers.emplace_back("authorization", "AWS4-HMAC-SHA256 Credential=" + plan.access_key_id + "/" +
                                            signature.scope() + ", SignedHeaders=" + names +
                                            ", Signature=" + signed_by);
  return headers;
}

bool move_to_region(BucketPlan& plan, const std::string& region) {
  const bool is_name = !region.empty() && region.size() <= 64 &&
                       std::all_of(region.begin(), region.end(), [](unsigned char c) {
                         return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '-';
                       });
  if (!is_name || region == plan.region || plan.host != "s3." + plan.region + ".amazonaws.com") {
    return false;
  }
  plan.region = region;
  plan.host = "s3." + region + ".amazonaws.com";
  return true;
}

}  // namespace thaw::worker
