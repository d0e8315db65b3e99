// SPDX-License-Identifier: Apache-2.0
//
// OwnRegistry: this server's own registry of images, as every protocol that pushes to it or pulls
// from it sees it. What is in it is a workspace's, by the name that the workspace gave it; another
// workspace's repository of the same name is another one. Records (catalog/repositories.h) say what
// is there, the blob store has the bytes, manifests' too, and counts them to the workspace. What
// nothing names any more goes (policy/unused_images.h). The builder finds images here without the
// network. Loop thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "thaw/async/pool.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/repositories.h"
#include "thaw/codec/oci_manifest.h"
#include "thaw/gateway/image_uploads.h"
#include "thaw/image/local_images.h"
#include "thaw/policy/unused_images.h"
#include "thaw/store/blob_store.h"

namespace thaw::gateway {

struct OwnRegistryOptions {
  catalog::RepositoryLimits limits;
  ImageUploadLimits uploads;
  policy::UnusedImageRules unused;
  std::vector<std::string> names;  // hosts, beside those that it listens at, that are its own
};

class OwnRegistry final : public image::LocalImages {
 public:
  struct Parts {
    async::Loop& loop;
    async::Pool& pool;
    catalog::Repositories& repositories;
    store::BlobStore& blobs;
    std::function<std::string(const Error&)> told;  // what a client is told of an Error
  };
  // All parts outlive it.
  OwnRegistry(Parts parts, OwnRegistryOptions options);

  // `authority`: where it is reached.
  void start(const std::string& authority);
  async::Task<void> stop() { return tasks_.stop(); }

  // What other registries' names stand for here; set by who knows them.
  std::function<std::optional<std::string>(const image::ImageName&)> stands_in;

  std::string told(const Error& error) const { return parts_.told(error); }
  catalog::Repositories& repositories() { return parts_.repositories; }
  ImageUploads& uploads() { return uploads_; }

  // The blob of a repository, which its workspace has; nullptr: there is none.
  catalog::Repositories::Blob blob(const model::WorkspaceId& workspace, const std::string& name,
                                   const std::string& sha256_hex) const;
  // By a tag or a digest; nullptr: there is none.
  catalog::Repositories::Manifest find_manifest(const model::WorkspaceId& workspace,
                                                const std::string& name,
                                                const std::string& reference) const;

  // The end of an upload: its blob is in its repository. As ImageUploads::finish().
  async::Task<void> finish(ImageUploads::UploadPtr upload, std::string expected_sha256_hex);
  // The blob of one repository is in another one too, of the same workspace; false: it is not
  // there.
  async::Task<bool> mount(model::WorkspaceId workspace, std::string from, std::string to,
                          std::string sha256_hex);

  struct Push {
    model::WorkspaceId workspace;
    std::string repository;
    std::string reference;     // a tag, or a digest
    std::string content_type;  // "" where nothing was said
    std::string bytes;
  };
  // invalid_argument: it is no manifest, or not what its digest says; failed_precondition: it names
  // what is not in the repository.
  async::Task<model::RepositoryManifest> push(Push push);
  // failed_precondition: a manifest names the blob.
  async::Task<void> erase_blob(catalog::Repositories::Blob blob);

  // Marks what is in repositories, for a sweep of the blob store.
  async::Task<void> mark_blobs();
  // Ends what is idle, and erases what is unused.
  async::Task<void> look_after();

  std::optional<Place> place_of(const image::ImageName& name) const override;
  async::Task<std::string> manifest(std::string workspace, std::string repository,
                                    std::string reference) override;
  async::Task<std::string> small_blob(std::string workspace, std::string repository,
                                      std::string digest) override;
  Result<std::string> file_of(const std::string& workspace, const std::string& repository,
                              const std::string& digest) override;

 private:
  Result<void> check_named(const Push& push, const codec::ManifestFacts& facts) const;
  async::Task<void> erase_unused(catalog::Repositories::Repository repository);

  Parts parts_;
  OwnRegistryOptions options_;
  ImageUploads uploads_;
  std::string authority_;
  async::TaskGroup tasks_;  // last: ended first
};

// Whether a registry's host in an image's name is a server that is reached at `authority`: on
// loopback by any of the names that this machine has for itself. Pure.
bool is_own_host(const std::string& host, const std::string& authority);

}  // namespace thaw::gateway
