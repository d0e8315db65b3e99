// SPDX-License-Identifier: Apache-2.0
//
// Shares: how much of the catalog each workspace has, and how much it may have. The catalog is in
// memory and is loaded at every start, so what one workspace puts into it costs all of them.
// Shrinking is always allowed. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "thaw/base/result.h"

namespace thaw::catalog {

struct CatalogLimits {
  std::size_t objects = 200'000;           // of a workspace
  std::uint64_t bytes = 256u << 20;        // of a workspace: definitions, mounts' files, secrets
  std::uint64_t object_bytes = 48u << 20;  // of one object
};

// What one object counts for; without a workspace: for nobody.
struct Weight {
  std::string workspace;
  std::size_t bytes = 0;
};

class Shares {
 public:
  CatalogLimits limits;

  struct Use {
    std::size_t objects = 0;
    std::size_t bytes = 0;
  };
  Use of(const std::string& workspace) const;

  // resource_exhausted naming the limit if `next` in the place of `old` (null: nothing) is too
  // much.
  Result<void> admit(const Weight* old, const Weight& next) const;
  void add(const Weight& weight);
  void remove(const Weight& weight);

 private:
  std::unordered_map<std::string, Use> uses_;
};

}  // namespace thaw::catalog
