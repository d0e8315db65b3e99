// SPDX-License-Identifier: Apache-2.0
//
// RegistryImage: what a registry said that a name means: enough to plan a recipe on it, and to pull
// it. A value that never changes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/image/image.h"
#include "thaw/image/image_manifest.h"
#include "thaw/image/registry_client.h"

namespace thaw::image {

struct RegistryImage {
  std::string name;        // as the recipe has it
  std::string top_digest;  // of what the name leads to: an index, or the manifest
  std::string key;         // of its image in the layer store
  std::string note;        // for the build log
  ImageConfig config;
  ImageNotes notes;
  std::vector<Descriptor> layers;          // as the registry has them, lowest first
  std::vector<std::string> layer_ids;      // the same, of their tar streams
  std::shared_ptr<Repository> repository;  // where its layers are
};

}  // namespace thaw::image
