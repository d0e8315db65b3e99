// SPDX-License-Identifier: Apache-2.0
//
// FakeBuilder: every image is there, without a layer. For tests of those who start containers.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/task.h"
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

  // Takes a second.
  async::Task<BuildResult> add_layer(std::string base, std::string, std::string) override {
    most_at_once = std::max(most_at_once, ++at_once);
    const Result<void> slept = co_await async::sleep_for(std::chrono::seconds(1));
    --at_once;
    if (!slept) {
      co_return slept.error();
    }
    BuildResult made;
    made.key = std::move(base) + "+" + std::to_string(++layers_added);
    co_return made;
  }

  std::vector<std::string> env;  // of every image
  int layers_added = 0;
  int at_once = 0;
  int most_at_once = 0;
};

}  // namespace thaw::image::testing
