// SPDX-License-Identifier: Apache-2.0
//
// Repositories: what was pushed to this server's own registry, as records: repositories by their
// workspace and name, what is in them by its digest, tags in order. Lookups are memory; changes
// return when they are on disk. It knows names and digests, no bytes: those are in the blob store,
// and whoever changes something here sees to it that they are there. Every way in begins with a
// workspace. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/catalog/repository_records.h"
#include "thaw/store/database.h"

namespace thaw::catalog {

struct RepositoryLimits {
  std::size_t repositories = 1'000;  // of a workspace
  std::size_t tags = 20'000;         // of a repository
};

class Repositories {
 public:
  using Repository = std::shared_ptr<const model::Repository>;
  using Blob = std::shared_ptr<const model::RepositoryBlob>;
  using Manifest = std::shared_ptr<const model::RepositoryManifest>;

  // Loads what can be read; the rest is set aside. The parts outlive it; what is here counts in the
  // same shares as the rest of the catalog.
  static Result<std::unique_ptr<Repositories>> open(store::Database& database, Shares& shares,
                                                    RepositoryLimits limits);

  // nullptr, here and below: there is none.
  Repository find(const model::WorkspaceId& workspace, const std::string& name) const;
  // Names, in order.
  std::vector<std::string> names(const model::WorkspaceId& workspace) const;

  // Of a repository that was found in somebody's workspace:
  Blob blob(const model::RepositoryId& repository, const std::string& sha256_hex) const;
  Manifest manifest(const model::RepositoryId& repository, const std::string& sha256_hex) const;
  // That a tag names.
  Manifest tagged(const model::RepositoryId& repository, const std::string& tag) const;
  // At most `count` of those behind `after`, in order.
  std::vector<std::string> tags(const model::RepositoryId& repository, const std::string& after,
                                std::size_t count) const;
  // Manifests about this one, in the order of their digests.
  std::vector<Manifest> referrers(const model::RepositoryId& repository,
                                  const std::string& sha256_hex) const;
  // Whether a manifest of the repository names it.
  bool is_named(const model::RepositoryId& repository, const std::string& sha256_hex) const {
    return manifests_.names(in_repository(repository, sha256_hex));
  }
  bool is_tagged(const model::RepositoryManifest& manifest) const {
    return !tags_.find_by_key(in_repository(manifest.repository, manifest.sha256_hex)).empty();
  }

  // The blob is in the repository from now on, which is made if it is not there.
  // resource_exhausted: the workspace has too many.
  async::Task<void> add_blob(model::WorkspaceId workspace, std::string name, std::string sha256_hex,
                             std::uint64_t size);
  // `manifest` says all but its id and its repository, which is made if it is not there. With a tag
  // that names it from now on, unless that is empty. resource_exhausted as above, or: too many
  // tags.
  async::Task<void> add_manifest(std::string name, model::RepositoryManifest manifest,
                                 std::string tag);
  // Somebody has asked for it. Written now and then.
  async::Task<void> note_use(Manifest manifest);

  async::Task<void> erase_tag(model::RepositoryId repository, std::string tag);
  // And its tags.
  async::Task<void> erase_manifest(Manifest manifest);
  async::Task<void> erase_blob(Blob blob);

  // For who looks after all of them, in whatever workspace they are.
  std::vector<Repository> all() const;
  std::vector<Manifest> manifests_in(const model::RepositoryId& repository) const {
    return manifests_.find_by_key(repository.str());
  }
  std::vector<Blob> blobs_in(const model::RepositoryId& repository) const {
    return blobs_.find_by_key(repository.str());
  }
  // Nothing is in it any more: its name goes too. Does nothing if something is.
  async::Task<void> erase_if_empty(Repository repository);

 private:
  Repositories(store::Database& database, Shares& shares, RepositoryLimits limits);
  void after_load();
  // What is to be written first so that there is a repository of that name, and its id.
  Result<model::RepositoryId> place(const model::WorkspaceId& workspace, const std::string& name,
                                    std::vector<Step>& steps);
  void note_tag(const model::RepositoryId& repository, const std::string& tag);

  store::Database& database_;
  RepositoryLimits limits_;
  ObjectTable<model::Repository> repositories_;
  ObjectTable<model::RepositoryBlob> blobs_;
  ObjectTable<model::RepositoryManifest> manifests_;
  ObjectTable<model::NamedManifest> tags_;
  // By repository; in order, for lists that go on behind a name.
  std::map<model::RepositoryId, std::set<std::string>> tag_names_;
};

}  // namespace thaw::catalog
