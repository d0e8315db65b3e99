// SPDX-License-Identifier: Apache-2.0
//
// FakeBuilder: every image is there, without a layer. For tests of those who start containers.
#pragma once

#include <string>
#include <vector>

#include "thaw/image/image.h"

namespace thaw::image::testing {

class FakeBuilder final : public Builder {
 public:
  Result<std::string> key_of(const Recipe&) const override { return std::string("image"); }
  Result<BuildResult> find(const std::string&) const override {
    BuildResult found;
    found.image.config.env = env;
    return found;
  }
  async::Task<BuildResult> build(Recipe, BuildLog) override { co_return BuildResult{}; }

  std::vector<std::string> env;  // of every image
};

}  // namespace thaw::image::testing
