// SPDX-License-Identifier: Apache-2.0
//
// What of a repository nobody needs any more. A manifest that stays holds what it names and what is
// about it. One that no tag holds goes once nobody has asked for it, or what it holds, for long; or
// earlier, those first that were not asked for the longest, while together they have more than the
// repository may keep without a tag. A blob goes that no manifest which stays names, if it has been
// there for a while: the manifest of a push comes last. Who holds others goes before those: whoever
// stops in between leaves nothing without what it names. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/repository.h"

namespace thaw::policy {

struct UnusedImageRules {
  Duration keep_untagged = std::chrono::hours(24 * 7);
  std::uint64_t untagged_bytes = std::uint64_t{10} << 30;
  // Nothing younger goes, however much there is: a push is made of many requests.
  Duration young = std::chrono::hours(24);
};

struct RepositoryView {
  struct Manifest {
    std::shared_ptr<const model::RepositoryManifest> is;
    bool is_tagged = false;
  };
  std::vector<Manifest> manifests;
  std::vector<std::shared_ptr<const model::RepositoryBlob>> blobs;
};

struct UnusedImages {
  std::vector<std::shared_ptr<const model::RepositoryManifest>> manifests;
  std::vector<std::shared_ptr<const model::RepositoryBlob>> blobs;
};

UnusedImages find_unused_images(const RepositoryView& view, const UnusedImageRules& rules,
                                WallTime now);

}  // namespace thaw::policy
