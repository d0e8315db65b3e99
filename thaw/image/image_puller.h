// SPDX-License-Identifier: Apache-2.0
//
// ImagePuller: what a name means at its registry (small questions, when a recipe is planned), and
// the layers of that (when it is built): several at a time, each once however many images of a
// repository want it, kept by the layer store. A registry that is away is answered for by what the
// same workspace heard of it last, while this server runs. Loop thread; unpacking is the pool's,
// under the share of who builds.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/pool.h"
#include "thaw/image/flights.h"
#include "thaw/image/foreign_layer.h"
#include "thaw/image/image_name.h"
#include "thaw/image/layer_store.h"
#include "thaw/image/local_images.h"
#include "thaw/image/registry_client.h"
#include "thaw/image/registry_image.h"

namespace thaw::image {

using RegistryImagePtr = std::shared_ptr<const RegistryImage>;

class ImagePuller {
 public:
  // The loop, the pool, the store and the local images, if there are any, outlive it.
  ImagePuller(async::Loop& loop, async::Pool& pool, LayerStore& store, RegistrySettings settings,
              LocalImages* local = nullptr);

  // Whether the name leads to a registry; not_found: it has no host, and no default is set.
  Result<std::string> host_of(const ImageName& name) const;
  // The image for this machine's platform. Errors name the image, the registry and what to do, and
  // are never `unavailable`, which clients would repeat for ever. resource_exhausted: too many ask
  // already, of this workspace or of all.
  async::Task<RegistryImagePtr> find(ImageName name, std::optional<RegistryLogin> login,
                                     std::string workspace);
  // Names of its layers in the store, lowest first, fetched where they are missing.
  async::Task<std::vector<std::string>> layers(RegistryImagePtr image, std::string workspace,
                                               BuildLog log);

 private:
  struct Pull;  // of one image's layers
  async::Task<RegistryImagePtr> find_local(ImageName name, std::string repository,
                                           std::string workspace);
  async::Task<RegistryImagePtr> ask(ImageName name, std::shared_ptr<Repository> at,
                                    RegistryImagePtr known);
  async::Task<RegistryImagePtr> ask_paths(ImageName name, std::string host,
                                          std::optional<RegistryLogin> login, std::string workspace,
                                          RegistryImagePtr known);
  static async::Task<void> pull_some(ImagePuller* self, std::shared_ptr<Pull> pull);
  async::Task<void> pull_one(std::shared_ptr<Pull> pull, std::size_t number);
  async::Task<ImageRecord> fetch(std::shared_ptr<Pull> pull, std::size_t number, BuildLog say,
                                 StopFlag stop);
  async::Task<std::string> file_of(std::shared_ptr<Repository> at, Descriptor layer,
                                   const Draft* draft);
  async::Task<ForeignLayer> fetch_into(std::shared_ptr<Pull> pull, std::size_t number,
                                       const Draft* draft, StopFlag stop);
  void remember(const std::string& known_as, const RegistryImagePtr& image);

  async::Loop& loop_;
  async::Pool& pool_;
  LayerStore& store_;
  const RegistrySettings settings_;
  LocalImages* local_;
  RegistryClient client_;
  std::map<std::string, std::size_t> asking_;  // by workspace
  std::size_t all_asking_ = 0;
  // By workspace, name and who asked; without his login.
  std::map<std::string, RegistryImagePtr> known_;
  std::deque<std::string> known_order_;  // oldest first
  Flights flights_;
};

}  // namespace thaw::image
