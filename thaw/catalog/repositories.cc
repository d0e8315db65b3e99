// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/repositories.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/ids.h"

namespace thaw::catalog {

using async::Task;

namespace {

// Between two notes of somebody's use of a manifest.
constexpr std::chrono::hours note_every{1};

template <class Id>
Id id_in(const model::RepositoryId& repository, const std::string& name) {
  return Id(in_repository(repository, name));
}

}  // namespace

Repositories::Repositories(store::Database& database, Shares& shares, RepositoryLimits limits)
    : database_(database),
      limits_(limits),
      repositories_(database, shares, "repository"),
      blobs_(database, shares, "repository_blob"),
      manifests_(database, shares, "repository_manifest"),
      tags_(database, shares, "repository_tag") {}

Result<std::unique_ptr<Repositories>> Repositories::open(store::Database& database, Shares& shares,
                                                         RepositoryLimits limits) {
  std::unique_ptr<Repositories> opened(new Repositories(database, shares, limits));
  THAW_TRY_VOID(opened->repositories_.load());
  THAW_TRY_VOID(opened->blobs_.load());
  THAW_TRY_VOID(opened->manifests_.load());
  THAW_TRY_VOID(opened->tags_.load());
  opened->after_load();
  return opened;
}

// What is of a repository whose own record was lost is found by nobody any more.
void Repositories::after_load() {
  const auto drop = [this](auto& table) {
    std::vector<std::string> lost;
    for (const auto& [id, object] : table.all()) {
      if (!repositories_.find(object->repository.str())) {
        lost.push_back(id);
      }
    }
    for (const std::string& id : lost) {
      table.set_aside(id, "its repository is gone");
    }
  };
  drop(blobs_);
  drop(manifests_);
  drop(tags_);
  for (const auto& [id, tag] : tags_.all()) {
    tag_names_[tag->repository].insert(tag->tag);
  }
}

Repositories::Repository Repositories::find(const model::WorkspaceId& workspace,
                                            const std::string& name) const {
  const auto found = repositories_.find_by_key(workspace.str() + "/" + name);
  return found.empty() ? nullptr : found.front();
}

std::vector<std::string> Repositories::names(const model::WorkspaceId& workspace) const {
  std::vector<std::string> names;
  for (const Repository& repository : repositories_.find_by_owner(workspace.str())) {
    names.push_back(repository->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Repositories::Repository> Repositories::all() const {
  std::vector<Repository> all;
  for (const auto& [id, repository] : repositories_.all()) {
    all.push_back(repository);
  }
  return all;
}

Repositories::Blob Repositories::blob(const model::RepositoryId& repository,
                                      const std::string& sha256_hex) const {
  return blobs_.find(in_repository(repository, sha256_hex));
}

Repositories::Manifest Repositories::manifest(const model::RepositoryId& repository,
                                              const std::string& sha256_hex) const {
  return manifests_.find(in_repository(repository, sha256_hex));
}

Repositories::Manifest Repositories::tagged(const model::RepositoryId& repository,
                                            const std::string& tag) const {
  const auto found = tags_.find(in_repository(repository, tag));
  return found ? manifest(repository, found->sha256_hex) : nullptr;
}

std::vector<std::string> Repositories::tags(const model::RepositoryId& repository,
                                            const std::string& after, std::size_t count) const {
  std::vector<std::string> found;
  const auto names = tag_names_.find(repository);
  if (names == tag_names_.end()) {
    return found;
  }
  auto tag = after.empty() ? names->second.begin() : names->second.upper_bound(after);
  for (; tag != names->second.end() && found.size() < count; ++tag) {
    found.push_back(*tag);
  }
  return found;
}

std::vector<Repositories::Manifest> Repositories::referrers(const model::RepositoryId& repository,
                                                            const std::string& sha256_hex) const {
  auto found = manifests_.find_by_owner(in_repository(repository, sha256_hex));
  std::sort(found.begin(), found.end(),
            [](const Manifest& a, const Manifest& b) { return a->sha256_hex < b->sha256_hex; });
  return found;
}

Result<model::RepositoryId> Repositories::place(const model::WorkspaceId& workspace,
                                                const std::string& name, std::vector<Step>& steps) {
  if (const Repository known = find(workspace, name)) {
    return known->id;
  }
  const std::size_t count = repositories_.find_by_owner(workspace.str()).size();
  if (count >= limits_.repositories) {
    return Error::resource_exhausted(
        "the workspace has " + std::to_string(count) +
        " repositories, as many as it may ([registry] repositories); delete what is in one that is "
        "not needed, or push '" +
        name + "' into another one");
  }
  model::Repository made;
  made.id = model::RepositoryId(codec::random_id("re"));
  made.workspace = workspace;
  made.name = name;
  made.created_at = wall_now();
  const model::RepositoryId id = made.id;
  steps.push_back(repositories_.step_to_put(std::move(made)));
  return id;
}

Task<void> Repositories::add_blob(model::WorkspaceId workspace, std::string name,
                                  std::string sha256_hex, std::uint64_t size) {
  std::vector<Step> steps;
  THAW_CO_TRY(const model::RepositoryId repository, place(workspace, name, steps));
  model::RepositoryBlob made;
  made.id = id_in<model::RepositoryBlobId>(repository, sha256_hex);
  made.repository = repository;
  made.workspace = std::move(workspace);
  made.sha256_hex = std::move(sha256_hex);
  made.size = size;
  made.linked_at = wall_now();
  steps.push_back(blobs_.step_to_put(std::move(made)));
  co_return co_await apply_steps(database_, std::move(steps));
}

// A list of tags has what is in the table, as far as this tag is concerned.
void Repositories::note_tag(const model::RepositoryId& repository, const std::string& tag) {
  if (tags_.find(in_repository(repository, tag))) {
    tag_names_[repository].insert(tag);
    return;
  }
  const auto names = tag_names_.find(repository);
  if (names != tag_names_.end()) {
    names->second.erase(tag);
    if (names->second.empty()) {
      tag_names_.erase(names);
    }
  }
}

Task<void> Repositories::add_manifest(std::string name, model::RepositoryManifest manifest,
                                      std::string tag) {
  std::vector<Step> steps;
  THAW_CO_TRY(const model::RepositoryId repository, place(manifest.workspace, name, steps));
  model::NamedManifest named;
  named.workspace = manifest.workspace;
  named.sha256_hex = manifest.sha256_hex;
  manifest.id = id_in<model::RepositoryManifestId>(repository, manifest.sha256_hex);
  manifest.repository = repository;
  if (const Manifest known = manifests_.find(manifest.id.str())) {
    manifest.pushed_at = known->pushed_at;
  }
  steps.push_back(manifests_.step_to_put(std::move(manifest)));
  if (!tag.empty()) {
    std::set<std::string>& names = tag_names_[repository];
    if (!names.contains(tag) && names.size() >= limits_.tags) {
      co_return Error::resource_exhausted(
          "the repository " + name + " has " + std::to_string(names.size()) +
          " tags, as many as it may ([registry] tags); delete some, or move one that is there");
    }
    names.insert(tag);  // counts from now on; note_tag() says whether it is to stay
    named.id = id_in<model::RepositoryTagId>(repository, tag);
    named.repository = repository;
    named.tag = tag;
    named.tagged_at = wall_now();
    steps.push_back(tags_.step_to_put(std::move(named)));
  }
  Result<void> written = co_await apply_steps(database_, std::move(steps));
  if (!tag.empty()) {
    note_tag(repository, tag);
  }
  co_return written;
}

Task<void> Repositories::note_use(Manifest manifest) {
  const WallTime now = wall_now();
  if (now - manifest->used_at < note_every || manifests_.find(manifest->id.str()) != manifest) {
    co_return ok();
  }
  model::RepositoryManifest used = *manifest;
  used.used_at = now;
  co_return co_await manifests_.put(std::move(used));
}

Task<void> Repositories::erase_tag(model::RepositoryId repository, std::string tag) {
  std::vector<Step> steps;
  steps.push_back(tags_.step_to_erase(in_repository(repository, tag)));
  Result<void> erased = co_await apply_steps(database_, std::move(steps));
  note_tag(repository, tag);
  co_return erased;
}

Task<void> Repositories::erase_manifest(Manifest manifest) {
  std::vector<Step> steps;
  const auto named = tags_.find_by_key(in_repository(manifest->repository, manifest->sha256_hex));
  for (const auto& tag : named) {
    steps.push_back(tags_.step_to_erase(tag->id.str()));
  }
  steps.push_back(manifests_.step_to_erase(manifest->id.str()));
  Result<void> erased = co_await apply_steps(database_, std::move(steps));
  for (const auto& tag : named) {  // tidy(held): this task's own list
    note_tag(tag->repository, tag->tag);
  }
  co_return erased;
}

Task<void> Repositories::erase_blob(Blob blob) {
  const std::string id = blob->id.str();
  std::vector<Step> steps;
  steps.push_back(blobs_.step_to_erase(id));
  co_return co_await apply_steps(database_, std::move(steps));
}

Task<void> Repositories::erase_if_empty(Repository repository) {
  const std::string id = repository->id.str();
  if (!blobs_.find_by_key(id).empty() || !manifests_.find_by_key(id).empty() ||
      tag_names_.contains(repository->id)) {
    co_return ok();
  }
  std::vector<Step> steps;
  steps.push_back(repositories_.step_to_erase(id));
  co_return co_await apply_steps(database_, std::move(steps));
}

}  // namespace thaw::catalog
