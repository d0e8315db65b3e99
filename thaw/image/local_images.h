// SPDX-License-Identifier: Apache-2.0
//
// LocalImages: images that are on this machine as registries keep them, in a registry of this
// server's own. The puller asks it first, and takes what it has without the network: manifests as
// they were pushed, layers from where their files are. Whose they are is the workspace's that
// builds. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "thaw/async/task.h"
#include "thaw/image/image.h"
#include "thaw/image/image_name.h"

namespace thaw::image {

class LocalImages {
 public:
  virtual ~LocalImages() = default;

  struct Place {
    std::string repository;
    // only_here: the host is this server's. before_others: of a host of somebody else's, which is
    // asked if there is no such image here.
    enum class Where { only_here, before_others } where = Where::only_here;
  };
  // nullopt: the name is no business of this server's registry.
  virtual std::optional<Place> place_of(const ImageName& name) const = 0;
  // Whole, and checked; `reference` is a tag or a digest. not_found.
  virtual async::Task<std::string> manifest(std::string workspace, std::string repository,
                                            std::string reference) = 0;
  // A small blob as a whole, checked. not_found.
  virtual async::Task<std::string> small_blob(std::string workspace, std::string repository,
                                              std::string digest) = 0;
  // Where the file of a blob is, which was checked when it came. not_found.
  virtual Result<std::string> file_of(const std::string& workspace, const std::string& repository,
                                      const std::string& digest) = 0;
};

// Builder::open() for a server that has images of its own, which outlive the builder.
Result<std::unique_ptr<Builder>> open_builder(async::Loop& loop, async::Pool& pool,
                                              sandbox::Spawner& spawner, store::BlobStore& blobs,
                                              BuilderOptions options, LocalImages* local);

}  // namespace thaw::image
