// SPDX-License-Identifier: Apache-2.0
//
// Functions that run once, while an image is built, and whose files become a layer of it. The
// client creates one like any other and names it when it asks for the image. It is a RUN of the
// image's build: the client's own entrypoint, told what to run by tools/container/thaw_build.py.
// What of it counts for the image's key is what the client says: its source, the globals that it
// uses, its arguments.
//
// BuildFunctions keeps them between those two requests (kept_for_later.h). Who comes too late, or
// after a restart, is told to deploy again. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/kept_for_later.h"
#include "thaw/dialect/modal/proto/images.pb.h"

namespace thaw::dialect::modal {

class BuildFunctions {
 public:
  using Spec = std::shared_ptr<const model::FunctionSpec>;
  // resource_exhausted: its definition is too large for a build.
  Result<void> keep(Spec spec);
  // nullptr: another workspace's, or not kept any more.
  Spec find(const model::WorkspaceId& workspace, const std::string& id) const;

 private:
  KeptForLater<Spec> kept_;
};

// Of all steps of an image together.
inline constexpr Duration longest_build = std::chrono::hours(6);

// The image's recipe as lines. not_found: the function is not kept.
Result<std::vector<std::string>> build_function_lines(
    Context& cx, const gateway::Identity& who,
    const ::modal::client::ImageGetOrCreateRequest& request);
// Lays volumes of the workspace into the steps of a build. resource_exhausted: one that is to be
// written to has no room.
async::Task<void> bind_volumes(Context& cx, std::vector<model::VolumeMount> mounts,
                               image::RunSurroundings& besides);
// What the step needs to run: nothing of it counts for the image's key.
async::Task<void> equip_build_function(Context& cx, gateway::Identity who,
                                       const ::modal::client::ImageGetOrCreateRequest& request,
                                       image::Recipe& recipe);

}  // namespace thaw::dialect::modal
