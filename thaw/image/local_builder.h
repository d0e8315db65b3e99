// SPDX-License-Identifier: Apache-2.0
//
// LocalBuilder: the Builder of this machine. A build is a plan whose steps are taken from the layer
// store, from the last one that is there; the others are made one after the other, each in a
// draft that becomes a layer. Loop thread; folders, mounts and copies run on the pool.
#pragma once

#include <memory>
#include <string>

#include "thaw/image/copy_files.h"
#include "thaw/image/flights.h"
#include "thaw/image/host_settings.h"
#include "thaw/image/image.h"
#include "thaw/image/image_import.h"
#include "thaw/image/image_puller.h"
#include "thaw/image/imported_images.h"
#include "thaw/image/layer_store.h"
#include "thaw/image/plan.h"
#include "thaw/image/run_step.h"

namespace thaw::image {

class LocalBuilder : public Builder {
 public:
  LocalBuilder(async::Loop& loop, async::Pool& pool, sandbox::Spawner& spawner,
               store::BlobStore& blobs, BuilderOptions options, Host host, StepSettings settings,
               std::unique_ptr<LayerStore> layers, Draft settings_folder,
               LocalImages* local = nullptr);

  async::Task<Recipe> find_bases(Recipe recipe) override;
  Result<std::string> key_of(const Recipe& recipe) const override;
  Result<BuildResult> find(const std::string& key) const override;
  Result<std::string> folder_of(const std::string& source) const override;
  async::Task<BuildResult> build(Recipe recipe, BuildLog log) override;
  async::Task<ImportedImage> import_image(std::string path, std::string name) override;
  std::vector<ImportedImage> imported() const override { return imports_.all(); }
  Result<void> forget_import(const std::string& name) override { return imports_.remove(name); }
  async::Task<BuildResult> add_layer(std::string base, std::string upper,
                                     std::string workspace) override;

 private:
  // What one step needs besides its parent; a value, so that it may be shared by flights.
  struct Job {
    Step step;
    std::string label;
    ImageRecord parent;
    std::vector<std::string> source_layers;  // of COPY --from, host folders
    // Of RUN --mount from another image: one list for each mount, empty for the others.
    std::vector<std::vector<std::string>> mount_layers;
    std::vector<std::string> secret_env;
    RunSurroundings besides;
    std::string workspace;
    Recipe::Cache cache = Recipe::Cache::use;
  };

  // Blocks.
  Result<BuildResult> copy_layer(const std::string& base, const std::string& upper) const;
  BaseLookup lookup(const Recipe& recipe) const;
  BuiltImage built(const ImageRecord& record) const;
  std::vector<std::string> folders(const ImageRecord& record) const;

  async::Task<ImageRecord> base(const Recipe* recipe, std::string reference, std::string key,
                                BuildLog log);
  async::Task<ImageRecord> read_import(std::string path, std::shared_ptr<FoundOnDisk> found,
                                       StopFlag stop);
  async::Task<ImageRecord> pull(RegistryImagePtr image, std::string workspace, BuildLog log);
  async::Task<ImageRecord> make_base(BaseRecipe recipe, std::string key, BuildLog say,
                                     StopFlag stop);
  async::Task<ImageRecord> step(Job job, BuildLog log);
  async::Task<ImageRecord> make_step(Job job, BuildLog say);
  async::Task<std::string> look_for_python(ImageRecord record);
  async::Task<void> fill_draft(const Job* job, std::string draft, BuildLog say);
  async::Task<void> copy_into(const Job* job, std::string draft, BuildLog say);
  Result<BlobPaths> blob_paths(const Job& job, const std::vector<CopyItem>& items) const;
  RunRequest request_for(const Job& job, const std::string& draft) const;
  async::Task<KeyLock> lock(std::string key, BuildLog say);
  async::Task<void> put(std::string key, ImageRecord record);
  async::Task<ImageRecord> origin(int stage, std::string reference,
                                  const std::vector<ImageRecord>* stages, const Recipe* recipe,
                                  BuildLog log);

  async::Loop& loop_;
  async::Pool& pool_;
  sandbox::Spawner& spawner_;
  store::BlobStore& blobs_;
  BuilderOptions options_;
  Host host_;
  StepSettings settings_;
  std::unique_ptr<LayerStore> layers_;
  Draft settings_folder_;
  async::Pool recipes_{1};  // one base root at a time; a minute on the shared pool would be rude
  ImportedImages imports_;
  ImagePuller puller_;
  std::uint64_t imports_begun_ = 0;
  Flights flights_;
};

}  // namespace thaw::image
