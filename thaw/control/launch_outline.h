// SPDX-License-Identifier: Apache-2.0
//
// LaunchOutline: what a container's plan has of the things that its owner has named: an image,
// secrets, mounts, volumes. The same for containers of functions and for boxes. not_found names
// what is not there. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "thaw/catalog/catalog.h"
#include "thaw/image/image.h"
#include "thaw/model/bucket_mount.h"
#include "thaw/worker/launch_folders.h"
#include "thaw/worker/launch_plan.h"

namespace thaw::control {

// Environment ("NAME=value") of a secret; data_loss when it cannot be read.
using SecretEnv = std::function<Result<std::vector<std::string>>(const model::Secret&)>;

// A part of an environment: a secret of the catalog, or "NAME=value". A later one wins.
using EnvSource = std::variant<model::SecretId, std::string>;

// A bucket of a container, and what has the credentials for it.
struct BucketUse {
  model::BucketMount mount;
  std::vector<EnvSource> credentials;
};

// A later value of the same name wins: the earlier one goes.
void append_env(std::vector<std::string>& env, const std::vector<std::string>& more);

struct LaunchOutlineParts {
  catalog::Catalog& catalog;
  image::Builder& images;
  worker::MountFolders& mounts;
  worker::VolumeMounts& volumes;
  SecretEnv secret_env;
};

class LaunchOutline {
 public:
  explicit LaunchOutline(LaunchOutlineParts parts) : parts_(std::move(parts)) {}

  // Layers, environment and working folder; what else the image says is returned.
  Result<image::ImageConfig> add_image(const model::ImageId& id, worker::LaunchPlan& plan) const;
  Result<void> add_secrets(const std::vector<model::SecretId>& secrets,
                           worker::LaunchPlan& plan) const;
  Result<void> add_environment(const std::vector<EnvSource>& sources,
                               std::vector<std::string>& env) const;
  // `plan` outlives the task.
  async::Task<void> add_mounts(std::vector<model::MountId> mounts, worker::LaunchPlan& plan) const;
  async::Task<void> add_volumes(std::vector<model::VolumeMount> volumes,
                                worker::LaunchPlan& plan) const;
  // invalid_argument names what the credentials lack.
  Result<void> add_buckets(const std::vector<BucketUse>& buckets, worker::LaunchPlan& plan) const;
  // What people are told of those that cannot be written to now.
  std::vector<std::string> full_volumes(const std::vector<model::VolumeMount>& volumes) const;

 private:
  LaunchOutlineParts parts_;
};

}  // namespace thaw::control
