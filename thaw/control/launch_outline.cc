// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/launch_outline.h"

#include <iterator>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "thaw/control/bucket_plans.h"

namespace thaw::control {

// There may be very many of them: strangers write what images and requests say.
void append_env(std::vector<std::string>& env, const std::vector<std::string>& more) {
  env.insert(env.end(), more.begin(), more.end());
  std::unordered_set<std::string_view> seen;
  std::vector<bool> is_last(env.size());
  for (std::size_t i = env.size(); i-- > 0;) {
    const std::string_view entry = env[i];
    is_last[i] = seen.insert(entry.substr(0, entry.find('='))).second;
  }
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < env.size(); ++i) {
    if (is_last[i]) {
      kept.push_back(std::move(env[i]));
    }
  }
  env = std::move(kept);
}

Result<image::ImageConfig> LaunchOutline::add_image(const model::ImageId& id,
                                                    worker::LaunchPlan& plan) const {
  const auto image = parts_.catalog.images.find(id.str());
  if (!image) {
    return Error::not_found("image " + id.str() + " does not exist");
  }
  const auto built = parts_.images.find(image->key);
  if (!built && built.error().code() != Code::not_found) {
    return built.error();
  }
  if (!built) {
    return Error::not_found("image " + id.str() +
                            " is no longer in the layer store; deploy again to rebuild it");
  }
  plan.layers = built->image.sources;
  plan.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
              "LANG=C.UTF-8"};
  append_env(plan.env, built->image.config.env);
  plan.cwd = built->image.config.workdir;
  return built->image.config;
}

Result<void> LaunchOutline::add_secrets(const std::vector<model::SecretId>& secrets,
                                        worker::LaunchPlan& plan) const {
  return add_environment({secrets.begin(), secrets.end()}, plan.env);
}

Result<void> LaunchOutline::add_environment(const std::vector<EnvSource>& sources,
                                            std::vector<std::string>& env) const {
  std::vector<std::string> more;
  for (const EnvSource& source : sources) {
    if (const auto* const entry = std::get_if<std::string>(&source)) {
      more.push_back(*entry);
      continue;
    }
    const model::SecretId& id = std::get<model::SecretId>(source);
    const auto secret = parts_.catalog.secrets.find(id.str());
    if (!secret) {
      return Error::not_found("secret " + id.str() + " does not exist");
    }
    THAW_TRY(const std::vector<std::string> values, parts_.secret_env(*secret));
    more.insert(more.end(), values.begin(), values.end());
  }
  append_env(env, more);
  return ok();
}

async::Task<void> LaunchOutline::add_mounts(std::vector<model::MountId> mounts,
                                            worker::LaunchPlan& plan) const {
  for (const model::MountId& id : mounts) {  // tidy(held): the coroutine's own
    const auto mount = parts_.catalog.mounts.find(id.str());
    if (!mount) {
      co_return Error::not_found("mount " + id.str() + " does not exist");
    }
    if (!mount->files.empty()) {
      THAW_CO_TRY(std::string source, co_await parts_.mounts.source_of(mount));
      plan.layers.push_back(std::move(source));
    }
  }
  co_return ok();
}

async::Task<void> LaunchOutline::add_volumes(std::vector<model::VolumeMount> volumes,
                                             worker::LaunchPlan& plan) const {
  for (const model::VolumeMount& mount : volumes) {
    const auto volume = parts_.catalog.volumes.find(mount.volume.str());
    if (!volume || volume->life == model::Volume::Life::doomed) {
      co_return Error::not_found("the volume " + mount.volume.str() + " at " + mount.path +
                                 " was deleted; deploy again with one that exists");
    }
  }
  THAW_CO_TRY(std::vector<worker::Bind> binds, co_await parts_.volumes.binds(std::move(volumes)));
  std::move(binds.begin(), binds.end(), std::back_inserter(plan.binds));
  co_return ok();
}

Result<void> LaunchOutline::add_buckets(const std::vector<BucketUse>& buckets,
                                        worker::LaunchPlan& plan) const {
  for (const BucketUse& use : buckets) {
    std::vector<std::string> env;
    THAW_TRY_VOID(add_environment(use.credentials, env));
    THAW_TRY(worker::BucketPlan bucket, bucket_plan(use.mount, env));
    plan.buckets.push_back(std::move(bucket));
  }
  return ok();
}

std::vector<std::string> LaunchOutline::full_volumes(
    const std::vector<model::VolumeMount>& volumes) const {
  std::vector<std::string> told;
  for (const model::VolumeMount& mount : volumes) {
    const Result<void> room = parts_.volumes.check_space(mount.volume, 0);
    if (!room && mount.access == model::VolumeMount::Access::read_write) {
      told.push_back("the volume at " + mount.path +
                     " is mounted read-only: " + room.error().message());
    }
  }
  return told;
}

}  // namespace thaw::control
