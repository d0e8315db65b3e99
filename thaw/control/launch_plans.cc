// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/launch_plans.h"

#include <utility>

#include "thaw/control/container_log.h"

namespace thaw::control {

namespace {

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
  THAW_TRY(const image::ImageConfig config, outline_.add_image(spec.image, plan));
  if (spec.push) {
    run_image(config, *spec.push, plan);
  }
  return outline_.add_secrets(spec.secrets, plan);
}

async::Task<worker::LaunchPlan> LaunchPlans::plan_for(ContainerPtr container) {
  const auto& spec = container->spec;
  worker::LaunchPlan plan;
  plan.id = container->id;
  plan.log_stream = spec->app.str();
  plan.function = spec->id.str();
  plan.workspace = spec->workspace.str();
  THAW_CO_TRY_VOID(outline(*spec, plan));
  THAW_CO_TRY_VOID(co_await outline_.add_mounts(spec->mounts, plan));
  THAW_CO_TRY_VOID(co_await outline_.add_volumes(spec->volumes, plan));
  std::vector<BucketUse> buckets;
  for (const model::BucketMount& mount : spec->buckets) {
    buckets.push_back({mount, {}});
    if (!mount.secret.empty()) {
      buckets.back().credentials.emplace_back(mount.secret);
    }
  }
  THAW_CO_TRY_VOID(outline_.add_buckets(buckets, plan));
  for (const std::string& told : outline_.full_volumes(spec->volumes)) {
    container->start.volumes_are_full = true;
    say_in_log(parts_.logs, *container, told);
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
  if (!plan.buckets.empty()) {
    // Neither a template nor a program on disk has what serves them.
    plan.levels = {model::Level::booted};
    plan.fork.reset();
    plan.snapshot_point.reset();
  }
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
