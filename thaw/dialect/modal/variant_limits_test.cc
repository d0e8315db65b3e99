// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/variant_limits.h"

#include <doctest/doctest.h>

#include <string>

using namespace thaw;
using namespace thaw::dialect::modal;

namespace {

struct App {
  std::vector<std::shared_ptr<const catalog::Function>> functions;

  void add(const std::string& base, std::size_t count = 1) {
    for (std::size_t i = 0; i < count; ++i) {
      catalog::Function function;
      function.base = model::FunctionId(base);
      functions.push_back(std::make_shared<const catalog::Function>(std::move(function)));
    }
  }
  Code asks(const std::string& base, std::size_t most) {
    model::FunctionSpec spec;
    spec.id = model::FunctionId(base);
    spec.name = base;
    const Result<void> admitted = admit_variant(functions, spec, most);
    return admitted ? Code::ok : admitted.error().code();
  }
};

}  // namespace

TEST_CASE("a function has so many variants, whatever others of its app have") {
  App app;
  app.add("", 100);  // functions that are no variants
  app.add("fu-a", 10);
  CHECK(app.asks("fu-a", 11) == Code::ok);
  CHECK(app.asks("fu-a", 10) == Code::resource_exhausted);
  CHECK(app.asks("fu-b", 1) == Code::ok);
  CHECK(app.asks("fu-b", 0) == Code::resource_exhausted);
}

TEST_CASE("who acts in one environment gives no options to what acts in all of the workspace") {
  gateway::Identity container;
  container.environment = model::EnvironmentId("en-1");
  const gateway::Identity outside;
  model::FunctionSpec wide;
  wide.reach = model::Reach::workspace;
  const model::FunctionSpec plain;
  ::modal::client::FunctionOptions options;
  CHECK(check_reach_of_options(container, wide, options));  // other parameters only
  options.add_secret_ids("st-1");
  CHECK(check_reach_of_options(container, wide, options).error().code() == Code::permission_denied);
  CHECK(check_reach_of_options(outside, wide, options));
  CHECK(check_reach_of_options(container, plain, options));
}

TEST_CASE("an app has so many variants in all, those of variants too") {
  App app;
  app.add("fu-a", most_variants);
  app.add("fu-variant", most_variants);
  CHECK(app.asks("fu-b", most_variants) == Code::ok);
  app.add("fu-c", most_variants_of_app - 2 * most_variants);
  CHECK(app.asks("fu-b", most_variants) == Code::resource_exhausted);
}
