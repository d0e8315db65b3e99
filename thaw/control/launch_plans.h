// SPDX-License-Identifier: Apache-2.0
//
// LaunchPlans: what the worker is told to start: image, mounts, volumes, secrets, limits, what the
// dialect adds, and the levels that the start tries in order. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "thaw/catalog/catalog.h"
#include "thaw/control/fleet_options.h"
#include "thaw/control/launch_outline.h"
#include "thaw/control/measurements.h"
#include "thaw/control/pools.h"
#include "thaw/control/runtime.h"
#include "thaw/control/snapshots.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"
#include "thaw/worker/launch_folders.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

struct LaunchPlanParts {
  catalog::Catalog& catalog;
  image::Builder& images;
  worker::MountFolders& mounts;
  worker::VolumeMounts& volumes;
  logs::LogHub& logs;
  Runtime& runtime;
  SecretEnv secret_env;
  Measurements& measurements;
  Snapshots& snapshots;
  Pools& pools;
};

struct LaunchPlanOptions {
  std::uint64_t default_memory_bytes = 0;  // limit for functions that ask for none; 0: none
  FleetOptions::MissingGpu missing_gpu = FleetOptions::MissingGpu::error;
};

class LaunchPlans {
 public:
  LaunchPlans(LaunchPlanParts parts, LaunchPlanOptions options)
      : parts_(std::move(parts)),
        options_(options),
        outline_(
            {parts_.catalog, parts_.images, parts_.mounts, parts_.volumes, parts_.secret_env}) {}

  // What a container's plan has of its function alone: image and environment.
  Result<void> outline(const model::FunctionSpec& spec, worker::LaunchPlan& plan) const;
  // The whole plan. Its pool, if it has one, learns by what others can start.
  async::Task<worker::LaunchPlan> plan_for(ContainerPtr container);

 private:
  LaunchPlanParts parts_;
  LaunchPlanOptions options_;
  LaunchOutline outline_;
};

}  // namespace thaw::control
