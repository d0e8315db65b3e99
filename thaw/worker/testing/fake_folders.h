// SPDX-License-Identifier: Apache-2.0
//
// FakeFolders: volumes and mounts that are always there and have room, for tests of control.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/worker/launch_folders.h"

namespace thaw::worker::testing {

class FakeFolders final : public VolumeMounts, public MountFolders {
 public:
  async::Task<std::vector<Bind>> binds(std::vector<model::VolumeMount>) override {
    co_return std::vector<Bind>{};
  }
  Result<void> check_space(const model::VolumeId&, std::uint64_t) const override { return ok(); }
  async::Task<std::string> source_of(std::shared_ptr<const model::Mount>) override {
    co_return std::string("mount:fake");
  }
};

}  // namespace thaw::worker::testing
