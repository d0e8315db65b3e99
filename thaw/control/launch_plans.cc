// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/launch_plans.h"

#include <iterator>
#include <utility>

#include "thaw/control/container_log.h"

namespace thaw::control {

namespace {

void append_env(std::vector<std::string>& env, const std::vector<std::string>& more) {
  // A later value of the same name wins: the earlier one goes.
  for (const std::string& entry : more) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    std::erase_if(env, [&](const std::string& old) { return old.starts_with(name); });
    env.push_back(entry);
  }
}

// A server is what its image runs by itself.
void run_image(const image::ImageConfig& config, const model::PushContract& contract,
               worker::LaunchPlan& plan) {
  plan.push = contract;
  plan.argv = config.entrypoint;
  const auto& arguments = contract.arguments.empty() ? config.cmd : contract.arguments;
  plan.argv.insert(plan.argv.end(), arguments.begin(), arguments.end());
  plan.user = config.user;
  plan.cwd = config.workdir.empty() ? "/" : config.workdir;
  plan.users = config.user.empty() ? worker::InsideUsers::root : worker::InsideUsers::all;
  plan.wants_socket = false;
  append_env(plan.env, {"PORT=" + std::to_string(contract.port)});
}

Result<void> check_server(const model::FunctionSpec& spec, const worker::LaunchPlan& plan) {
  if (plan.argv.empty()) {
    return Error::failed_precondition(
        "the image of " + spec.name +
        " does not say what it runs; give its Dockerfile a CMD or an ENTRYPOINT");
  }
  if (plan.network == sandbox::SandboxSpec::Network::none) {
    return Error::failed_precondition(spec.name +
                                      " is a server and has its network blocked, so that nothing "
                                      "could reach its port; publish it with an open one");
  }
  return ok();
}

}  // namespace

Result<void> LaunchPlans::outline(const model::FunctionSpec& spec, worker::LaunchPlan& plan) const {
  const auto image = parts_.catalog.images.find(spec.image.str());
  if (!image) {
    return Error::not_found("image " + spec.image.str() + " does not exist");
  }
  const auto built = parts_.images.find(image->key);
  if (!built && built.error().code() != Code::not_found) {
    return built.error();
  }
  if (!built) {
    return Error::not_found("image " + spec.image.str() +
                            " is no longer in the layer store; deploy again to rebuild it");
  }
  plan.layers = built->image.sources;
  plan.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
              "LANG=C.UTF-8"};
  append_env(plan.env, built->image.config.env);
  plan.cwd = built->image.config.workdir;
  if (spec.push) {
    run_image(built->image.config, *spec.push, plan);
  }
  for (const model::SecretId& id : spec.secrets) {
    const auto secret = parts_.catalog.secrets.find(id.str());
    if (!secret) {
      return Error::not_found("secret " + id.str() + " does not exist");
    }
    THAW_TRY(const std::vector<std::string> env, parts_.secret_env(*secret));
    append_env(plan.env, env);
  }
  return ok();
}

async::Task<worker::LaunchPlan> LaunchPlans::plan_for(ContainerPtr container) {
  const auto& spec = container->spec;
  worker::LaunchPlan plan;
  plan.id = container->id;
  plan.log_stream = spec->app.str();
  plan.function = spec->id.str();
  plan.workspace = spec->workspace.str();
  THAW_CO_TRY_VOID(outline(*spec, plan));
  for (const model::MountId& id : spec->mounts) {  // tidy(held): a spec never changes
    const auto mount = parts_.catalog.mounts.find(id.str());
    if (!mount) {
      co_return Error::not_found("mount " + id.str() + " does not exist");
    }
    if (!mount->files.empty()) {
      THAW_CO_TRY(std::string source, co_await parts_.mounts.source_of(mount));
      plan.layers.push_back(std::move(source));
    }
  }
  for (const model::VolumeMount& mount : spec->volumes) {
    const auto volume = parts_.catalog.volumes.find(mount.volume.str());
    if (!volume || volume->life == model::Volume::Life::doomed) {
      co_return Error::not_found("the volume " + mount.volume.str() + " at " + mount.path +
                                 " was deleted; deploy again with one that exists");
    }
  }
  THAW_CO_TRY(std::vector<worker::Bind> volumes, co_await parts_.volumes.binds(spec->volumes));
  std::move(volumes.begin(), volumes.end(), std::back_inserter(plan.binds));
  for (const model::VolumeMount& mount : spec->volumes) {
    const Result<void> room = parts_.volumes.check_space(mount.volume, 0);
    if (!room && mount.access == model::VolumeMount::Access::read_write) {
      container->start.volumes_are_full = true;
      say_in_log(
          parts_.logs, *container,
          "the volume at " + mount.path + " is mounted read-only: " + room.error().message());
    }
  }
  plan.limits.memory_bytes = spec->resources.memory_limit_bytes != 0
                                 ? spec->resources.memory_limit_bytes
                                 : options_.default_memory_bytes;
  plan.limits.cpu_millis = spec->resources.cpu_limit_millis;
  if (spec->network == model::NetworkAccess::blocked) {
    plan.network = sandbox::SandboxSpec::Network::none;
  }
  if (!spec->resources.gpu.empty()) {
    if (options_.missing_gpu == FleetOptions::MissingGpu::error) {
      co_return Error::failed_precondition(
          "function " + spec->name + " asks for GPU " + spec->resources.gpu +
          " and this machine has none; set [gpu] when_missing = \"cpu\" in the server's "
          "configuration to run it on the CPU");
    }
    say_in_log(parts_.logs, *container,
               spec->name + " asks for GPU " + spec->resources.gpu +
                   "; this machine has none, it runs on the CPU");
  }
  if (spec->push && spec->snapshot_at == model::SnapshotAt::ready) {
    plan.snapshot_point.emplace();
  }
  if (container->for_snapshot) {
    plan.purpose = worker::LaunchPlan::Purpose::snapshot;
  }
  THAW_CO_TRY_VOID(co_await parts_.runtime.complete_plan(spec, plan));
  if (plan.cwd.empty()) {
    plan.cwd = "/";  // neither its image nor its dialect has another
  }
  if (spec->push) {
    THAW_CO_TRY_VOID(check_server(*spec, plan));
  }
  if (!container->for_snapshot) {
    THAW_CO_TRY(Snapshots::Offer offer, co_await parts_.snapshots.offer(spec, plan));
    container->start.snapshot_key = std::move(offer.key_digest);
    container->start.offered = std::move(offer.snapshot);
    if (!plan.fork) {
      std::erase(plan.levels, model::Level::forked);
    }
    if (spec->snapshot_at == model::SnapshotAt::ready &&
        policy::has_restored_in_vain(parts_.measurements.levels_of(spec->version))) {
      std::erase(plan.levels, model::Level::restored);  // its trial was at a strange moment
    }
    plan.levels = policy::order_levels(parts_.measurements.levels_of(spec->version), plan.levels,
                                       monotonic_now());
    if (!plan.restore.empty() && std::erase(plan.levels, model::Level::restored) > 0) {
      // Who asks for a snapshot has code that is to run once for all containers.
      plan.levels.insert(plan.levels.begin(), model::Level::restored);
    }
  }
  if (!container->in_background()) {
    Pool& pool = parts_.pools.of(container->target);
    pool.levels = plan.levels;
    pool.fork = pool.levels.front() == model::Level::forked ? plan.fork : std::nullopt;
    parts_.pools.looks().want_now(
        container->target);  // how others will start is known from here on
  }
  co_return plan;
}

}  // namespace thaw::control
