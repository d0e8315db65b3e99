// SPDX-License-Identifier: Apache-2.0
//
// ImportedImages: the names of what was imported by hand, for all workspaces of this server: one
// small file each, whole or not at all; the images themselves are the layer store's. A file that
// cannot be read counts as none, and the log says so. Loop thread; members block shortly.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "thaw/image/image.h"

namespace thaw::image {

class ImportedImages {
 public:
  // `folder`: made with the first import.
  static ImportedImages open(std::string folder);

  // By what a recipe calls it; nullptr: none was imported so.
  const ImportedImage* find(const std::string& reference) const;
  std::vector<ImportedImage> all() const;  // by name
  // Durable when it returns; in the place of one of the same name. resource_exhausted: too many.
  Result<void> put(ImportedImage image);
  // not_found.
  Result<void> remove(const std::string& name);

 private:
  std::string path_of(const std::string& name) const;

  std::string folder_;
  std::map<std::string, ImportedImage> images_;  // by ImageName::str()
};

}  // namespace thaw::image
