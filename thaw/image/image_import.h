// SPDX-License-Identifier: Apache-2.0
//
// Reads an image from a path of this machine into the layer store: an archive or a folder in OCI's
// form, what `docker save` writes, or a root file system as a tar or a folder. Who imports is the
// machine's administrator; what is imported is a stranger's, and is read as what a registry sends.
// Blocking, for minutes.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "thaw/image/foreign_layer.h"

namespace thaw::image {

struct FoundOnDisk {
  std::vector<std::string> names;   // what it calls itself
  std::vector<std::string> layers;  // of the layer store, lowest first
  std::string key;
  ImageConfig config;
  std::uint64_t bytes = 0;     // of the layers' files
  std::uint64_t left_out = 0;  // device nodes
};

// not_found: there is nothing at the path; failed_precondition: it is no image, or of another
// platform; resource_exhausted: a limit, which one layer has each.
Result<FoundOnDisk> read_image_from(LayerStore& store, const std::string& path,
                                    const UnpackLimits& limits, const std::atomic<bool>& stop);

}  // namespace thaw::image
