// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/bucket_plans.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

namespace thaw::control {

namespace {

constexpr std::string_view first_region = "us-east-1";
constexpr std::size_t longest_credential = 8u << 10;  // session tokens are long

std::string value_of(const std::vector<std::string>& env,
                     std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    for (const std::string& entry : env) {
      if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
        return entry.substr(name.size() + 1);
      }
    }
  }
  return {};
}

bool is_plain(std::string_view text) {
  return text.size() <= longest_credential && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
         });
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 && host[0] != '-' && host[0] != '.' &&
         std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '-' || c == '.';
         });
}

// "https://HOST", with a port perhaps and with nothing behind.
Result<void> read_endpoint(std::string_view text, worker::BucketPlan& plan) {
  const auto wrong = [&text](const char* what) {
    return Error::invalid_argument("the endpoint '" + std::string(text.substr(0, 200)) +
                                   "' of a bucket " + what +
                                   "; give 'https://HOST' or 'http://HOST:PORT'");
  };
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) {
    return wrong("has no scheme");
  }
  plan.scheme = text.substr(0, colon);
  std::string_view rest = text.substr(colon + 3);
  while (rest.ends_with('/')) {
    rest.remove_suffix(1);
  }
  if (plan.scheme != "http" && plan.scheme != "https") {
    return wrong("is neither of http nor of https");
  }
  plan.port = plan.scheme == "https" ? 443 : 80;
  if (const std::size_t at = rest.rfind(':'); at != std::string_view::npos) {
    const std::string_view port = rest.substr(at + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), plan.port);
    if (error != std::errc() || end != port.data() + port.size() || plan.port == 0) {
      return wrong("has no port between 1 and 65535");
    }
    rest = rest.substr(0, at);
  }
  plan.host = std::string(rest);
  std::transform(plan.host.begin(), plan.host.end(), plan.host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (!is_host(plan.host)) {
    return wrong("has no host of letters, digits, dots and dashes");
  }
  return ok();
}

}  // namespace

Result<worker::BucketPlan> bucket_plan(const model::BucketMount& mount,
                                       const std::vector<std::string>& env) {
  worker::BucketPlan plan;
  plan.bucket = mount.bucket;
  plan.prefix = mount.prefix;
  plan.target = mount.path;
  plan.access = mount.access == model::BucketMount::Access::read_only
                    ? worker::Bind::Access::read_only
                    : worker::Bind::Access::read_write;
  plan.requester_pays = mount.payer == model::BucketMount::Payer::requester;
  plan.access_key_id = value_of(env, {"AWS_ACCESS_KEY_ID", "GOOGLE_ACCESS_KEY_ID"});
  plan.secret_access_key = value_of(env, {"AWS_SECRET_ACCESS_KEY", "GOOGLE_ACCESS_KEY_SECRET"});
  plan.session_token = value_of(env, {"AWS_SESSION_TOKEN"});
  plan.region = value_of(env, {"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (!mount.secret.empty() || !env.empty()) {
    if (plan.access_key_id.empty() || plan.secret_access_key.empty()) {
      return Error::invalid_argument(
          "the secret of the bucket '" + mount.bucket +
          "' has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or GOOGLE_ACCESS_KEY_ID and "
          "GOOGLE_ACCESS_KEY_SECRET)");
    }
  }
  if (plan.region.empty()) {
    plan.region = first_region;
  }
  for (const std::string* text :
       {&plan.access_key_id, &plan.secret_access_key, &plan.session_token, &plan.region}) {
    if (!is_plain(*text)) {
      return Error::invalid_argument("the credentials of the bucket '" + mount.bucket +
                                     "' have spaces or control characters, or more than 8 KiB");
    }
  }
  if (mount.endpoint.empty() && !is_host(plan.region)) {
    return Error::invalid_argument("AWS_REGION of the bucket '" + mount.bucket +
                                   "' is no region's name");
  }
  THAW_TRY_VOID(read_endpoint(
      mount.endpoint.empty() ? "https://s3." + plan.region + ".amazonaws.com" : mount.endpoint,
      plan));
  return plan;
}

}  // namespace thaw::control
