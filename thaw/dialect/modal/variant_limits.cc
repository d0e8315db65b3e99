// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/variant_limits.h"

#include <string>

namespace thaw::dialect::modal {

Result<void> admit_variant(const std::vector<std::shared_ptr<const catalog::Function>>& of_app,
                           const model::FunctionSpec& base, std::size_t most) {
  std::size_t own = 0;
  std::size_t all = 0;
  for (const auto& function : of_app) {
    all += function->base.empty() ? 0 : 1;
    own += function->base == base.id ? 1 : 0;
  }
  if (own >= most) {
    return Error::resource_exhausted(
        "function '" + base.name + "' has been asked for " + std::to_string(own) +
        " sets of parameters or options, as many as it may have; stop its app and deploy it again");
  }
  if (all >= most_variants_of_app) {
    return Error::resource_exhausted(
        "the functions of the app of '" + base.name + "' have been asked for " +
        std::to_string(all) +
        " sets of parameters or options, as many as an app may have; stop it and deploy it again");
  }
  return ok();
}

Result<void> check_reach_of_options(const gateway::Identity& who, const model::FunctionSpec& base,
                                    const ::modal::client::FunctionOptions& options) {
  if (base.reach != model::Reach::workspace || who.environment.empty() ||
      options.ByteSizeLong() == 0) {
    return ok();
  }
  return Error::permission_denied(
      "function '" + base.name +
      "' acts in all of its workspace, and this container in its own environment only: it can be "
      "called, and not with options of this container's");
}

}  // namespace thaw::dialect::modal
