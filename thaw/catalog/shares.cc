// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/shares.h"

#include <algorithm>

namespace thaw::catalog {

namespace {

std::string megabytes(std::size_t bytes) { return std::to_string(bytes >> 20) + " MB"; }

}  // namespace

Shares::Use Shares::of(const std::string& workspace) const {
  const auto found = uses_.find(workspace);
  return found == uses_.end() ? Use{} : found->second;
}

Result<void> Shares::admit(const Weight* old, const Weight& next) const {
  const std::size_t before = old == nullptr ? 0 : old->bytes;
  if (next.workspace.empty() || (old != nullptr && next.bytes <= before)) {
    return ok();
  }
  const Use use = of(next.workspace);
  if (next.bytes > limits.object_bytes) {
    return Error::resource_exhausted("one object may have " + megabytes(limits.object_bytes) +
                                     " in the catalog, and this one has " + megabytes(next.bytes) +
                                     " ([catalog] object_mb); move large data into a volume, a "
                                     "mount or the image");
  }
  if (old == nullptr && use.objects >= limits.objects) {
    return Error::resource_exhausted("the workspace has " + std::to_string(use.objects) +
                                     " objects, as many as it may ([catalog] "
                                     "objects_per_workspace = " +
                                     std::to_string(limits.objects) +
                                     "); stop apps or delete what is not needed");
  }
  if (use.bytes - std::min(use.bytes, before) + next.bytes > limits.bytes) {
    return Error::resource_exhausted(
        "the definitions, mounts and secrets of the workspace would have more than " +
        megabytes(limits.bytes) +
        " ([catalog] mb_per_workspace); stop apps or delete what is not needed");
  }
  return ok();
}

void Shares::add(const Weight& weight) {
  if (!weight.workspace.empty()) {
    Use& use = uses_[weight.workspace];
    ++use.objects;
    use.bytes += weight.bytes;
  }
}

void Shares::remove(const Weight& weight) {
  const auto found = uses_.find(weight.workspace);
  if (found == uses_.end()) {
    return;
  }
  found->second.bytes -= std::min(found->second.bytes, weight.bytes);
  if (--found->second.objects == 0) {
    uses_.erase(found);
  }
}

}  // namespace thaw::catalog
