// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/bucket_mounts.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/definition.h"

namespace thaw::dialect::modal {

namespace {

constexpr int most_buckets = 16;  // each has a process of its own, for each container
constexpr std::size_t longest_prefix = 1024;
constexpr std::size_t longest_endpoint = 300;

Result<void> check_name(const std::string& name) {
  const auto harmless = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  };
  if (name.size() < 3 || name.size() > 255 ||
      std::isalnum(static_cast<unsigned char>(name[0])) == 0 ||
      !std::all_of(name.begin(), name.end(), harmless) || name.find("..") != std::string::npos) {
    return Error::invalid_argument("'" + name.substr(0, codec::cut_utf8(name, 80)) +
                                   "' is no name of a bucket: it has 3 to 255 letters, digits, "
                                   "dashes, dots and underscores");
  }
  return ok();
}

Result<void> check_prefix(const std::string& prefix) {
  const bool has_control = std::any_of(prefix.begin(), prefix.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
  });
  if (prefix.empty()) {
    return ok();
  }
  if (prefix.size() > longest_prefix || !prefix.ends_with('/') || prefix.starts_with('/') ||
      prefix.find("//") != std::string::npos || has_control ||
      ("/" + prefix).find("/../") != std::string::npos ||
      ("/" + prefix).find("/./") != std::string::npos) {
    return Error::invalid_argument(
        "the key_prefix of a bucket ends in '/' and begins with none, has no empty part, no '.' "
        "and no '..', and at most 1 KiB");
  }
  return ok();
}

Result<model::BucketMount> bucket_mount_from(const pb::CloudBucketMount& mount) {
  if (!mount.oidc_auth_role_arn().empty()) {
    return Error::unimplemented(
        "oidc_auth_role_arn of a bucket is not served by this version of Thaw; give its "
        "credentials in a secret");
  }
  model::BucketMount out;
  out.bucket = mount.bucket_name();
  THAW_TRY_VOID(check_name(out.bucket));
  out.endpoint = mount.bucket_endpoint_url();
  if (out.endpoint.size() > longest_endpoint) {
    return Error::invalid_argument("the endpoint of a bucket has at most 300 bytes");
  }
  out.prefix = mount.key_prefix();
  THAW_TRY_VOID(check_prefix(out.prefix));
  THAW_TRY(out.path, folder_for_mount(mount.mount_path()));
  out.secret = model::SecretId(mount.credentials_secret_id());
  out.access = mount.read_only() ? model::BucketMount::Access::read_only
                                 : model::BucketMount::Access::read_write;
  out.payer = mount.requester_pays() ? model::BucketMount::Payer::requester
                                     : model::BucketMount::Payer::owner;
  return out;
}

}  // namespace

Result<std::vector<model::BucketMount>> bucket_mounts_from(
    const google::protobuf::RepeatedPtrField<pb::CloudBucketMount>& mounts) {
  if (mounts.size() > most_buckets) {
    return Error::invalid_argument("a container has at most " + std::to_string(most_buckets) +
                                   " buckets");
  }
  std::vector<model::BucketMount> all;
  for (const pb::CloudBucketMount& one : mounts) {
    THAW_TRY(model::BucketMount mount, bucket_mount_from(one));
    all.push_back(std::move(mount));
  }
  return all;
}

}  // namespace thaw::dialect::modal
