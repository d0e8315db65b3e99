// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/own_registry.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/image/image_manifest.h"
#include "thaw/net/ip_address.h"

namespace thaw::gateway {

using async::Task;
using catalog::Repositories;

namespace {

constexpr std::size_t marks_at_once = 2'000;
// Until the manifest that names it comes, and a round of marks.
constexpr Duration keep_new = 1h;

Error not_here(const std::string& repository, const std::string& reference) {
  return Error::not_found("this server's registry has no " + repository.substr(0, 255) +
                          (reference.starts_with("sha256:") ? "@" : ":") +
                          reference.substr(0, 128) +
                          " of this workspace; push it, and check its name");
}

model::RepositoryManifest manifest_of(codec::ManifestFacts facts) {
  model::RepositoryManifest manifest;
  manifest.media_type = std::move(facts.media_type);
  manifest.artifact_type = std::move(facts.artifact_type);
  for (const auto& named : facts.blobs) {
    manifest.blobs.push_back(named.sha256_hex);
  }
  for (const auto& named : facts.children) {
    manifest.children.push_back(named.sha256_hex);
  }
  if (!facts.subject.empty()) {
    manifest.annotations = std::move(facts.annotations);
  }
  manifest.subject = std::move(facts.subject);
  manifest.pushed_at = manifest.used_at = wall_now();
  return manifest;
}

// Whether what was found unused is not any more: somebody tagged it, named it, asked for it, or did
// so with what it is about.
bool is_in_use(const Repositories& all, const model::RepositoryManifest& found,
               const std::unordered_set<std::string>& going) {
  const auto here = all.manifest(found.repository, found.sha256_hex);
  const bool is_another = here && here.get() != &found;
  const bool is_of_one_that_stays = !found.subject.empty() && !going.contains(found.subject) &&
                                    all.manifest(found.repository, found.subject);
  return is_another || all.is_tagged(found) || all.is_named(found.repository, found.sha256_hex) ||
         is_of_one_that_stays;
}

}  // namespace

OwnRegistry::OwnRegistry(Parts parts, OwnRegistryOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      uploads_(parts_.loop, parts_.blobs, options_.uploads),
      tasks_(parts_.loop) {}

void OwnRegistry::start(const std::string& authority) {
  authority_ = authority;
  const Duration shortest = std::min(options_.uploads.idle, options_.unused.young);
  const async::Pace pace{.period = std::clamp<Duration>(shortest / 4, 1s, 10min),
                         .rest_per_work = 20};
  tasks_.start("own registry", async::every(pace, "own registry", [this] { return look_after(); }));
}

Repositories::Blob OwnRegistry::blob(const model::WorkspaceId& workspace, const std::string& name,
                                     const std::string& sha256_hex) const {
  const auto repository = parts_.repositories.find(workspace, name);
  const auto found = repository ? parts_.repositories.blob(repository->id, sha256_hex) : nullptr;
  return found && parts_.blobs.contains(workspace.str(), sha256_hex) ? found : nullptr;
}

Repositories::Manifest OwnRegistry::find_manifest(const model::WorkspaceId& workspace,
                                                  const std::string& name,
                                                  const std::string& reference) const {
  const auto repository = parts_.repositories.find(workspace, name);
  if (!repository) {
    return nullptr;
  }
  const auto hex = codec::sha256_of_digest(reference);
  return hex ? parts_.repositories.manifest(repository->id, *hex)
             : parts_.repositories.tagged(repository->id, reference);
}

Task<void> OwnRegistry::finish(ImageUploads::UploadPtr upload, std::string expected_sha256_hex) {
  THAW_CO_TRY(const store::StoredBlob stored,
              co_await uploads_.finish(upload, std::move(expected_sha256_hex)));
  parts_.blobs.keep(upload->workspace.str(), stored.sha256_hex, keep_new);
  co_return co_await parts_.repositories.add_blob(upload->workspace, upload->repository,
                                                  stored.sha256_hex, stored.size);
}

Task<bool> OwnRegistry::mount(model::WorkspaceId workspace, std::string from, std::string to,
                              std::string sha256_hex) {
  const auto there = blob(workspace, from, sha256_hex);
  if (!there) {
    co_return false;
  }
  parts_.blobs.keep(workspace.str(), sha256_hex, keep_new);
  THAW_CO_TRY_VOID(
      co_await parts_.repositories.add_blob(workspace, std::move(to), sha256_hex, there->size));
  co_return true;
}

// Who pulls a manifest is to find what it names.
Result<void> OwnRegistry::check_named(const Push& push, const codec::ManifestFacts& facts) const {
  const auto missing = [&push](const char* what, const std::string& hex) {
    return Error::failed_precondition(std::string("the manifest names the ") + what +
                                      " sha256:" + hex + ", which is not in the repository " +
                                      push.repository + "; push it first");
  };
  for (const auto& named : facts.blobs) {
    if (!named.is_elsewhere && !blob(push.workspace, push.repository, named.sha256_hex)) {
      return missing("blob", named.sha256_hex);
    }
  }
  for (const auto& named : facts.children) {
    if (!named.is_elsewhere &&
        !find_manifest(push.workspace, push.repository, "sha256:" + named.sha256_hex)) {
      return missing("manifest", named.sha256_hex);
    }
  }
  return ok();
}

Task<model::RepositoryManifest> OwnRegistry::push(Push push) {
  const std::string owner = push.workspace.str();
  const auto wanted = codec::sha256_of_digest(push.reference);
  const auto pushed = std::make_shared<const Push>(std::move(push));
  // A stranger's, of megabytes perhaps: not for the loop.
  struct Read {
    codec::ManifestFacts facts;
    std::string sha256_hex;
  };
  auto read = [pushed, wanted]() -> Result<Read> {
    std::string hex = store::sha256_hex(pushed->bytes);
    if (wanted && *wanted != hex) {
      return Error::aborted("the manifest that was sent is sha256:" + hex + ", not " +
                            pushed->reference);
    }
    THAW_TRY(codec::ManifestFacts facts,
             codec::read_oci_manifest(pushed->bytes, pushed->content_type));
    return Read{std::move(facts), std::move(hex)};
  };
  THAW_CO_TRY(Read known,
              co_await async::blocking(async::PoolShare{parts_.pool, owner}, std::move(read)));
  THAW_CO_TRY_VOID(check_named(*pushed, known.facts));
  THAW_CO_TRY([[maybe_unused]] const store::StoredBlob stored,
              co_await parts_.blobs.put(owner, pushed->bytes));
  parts_.blobs.keep(owner, known.sha256_hex, keep_new);
  // Again: what it names may have been deleted meanwhile. From here to the record nothing waits.
  THAW_CO_TRY_VOID(check_named(*pushed, known.facts));
  model::RepositoryManifest manifest = manifest_of(std::move(known.facts));
  manifest.workspace = pushed->workspace;
  manifest.size = pushed->bytes.size();
  manifest.sha256_hex = std::move(known.sha256_hex);
  THAW_CO_TRY_VOID(co_await parts_.repositories.add_manifest(pushed->repository, manifest,
                                                             wanted ? "" : pushed->reference));
  co_return manifest;
}

Task<void> OwnRegistry::erase_blob(Repositories::Blob blob) {
  if (parts_.repositories.is_named(blob->repository, blob->sha256_hex)) {
    co_return Error::failed_precondition("a manifest of the repository names the blob sha256:" +
                                         blob->sha256_hex + "; delete the manifest first");
  }
  co_return co_await parts_.repositories.erase_blob(std::move(blob));
}

Task<void> OwnRegistry::mark_blobs() {
  std::size_t marks = 0;
  for (const auto& repository : parts_.repositories.all()) {  // tidy(held): this task's own list
    const auto blobs = parts_.repositories.blobs_in(repository->id);
    const auto manifests = parts_.repositories.manifests_in(repository->id);
    for (const auto& blob : blobs) {
      parts_.blobs.mark(blob->workspace.str(), blob->sha256_hex);
    }
    for (const auto& manifest : manifests) {
      parts_.blobs.mark(manifest->workspace.str(), manifest->sha256_hex);
    }
    marks += blobs.size() + manifests.size();
    if (marks >= marks_at_once) {
      marks = 0;
      THAW_CO_TRY_VOID(co_await async::yield());
    }
  }
  co_return ok();
}

Task<void> OwnRegistry::erase_unused(Repositories::Repository repository) {
  policy::RepositoryView view;
  for (const auto& manifest : parts_.repositories.manifests_in(repository->id)) {
    view.manifests.push_back({manifest, parts_.repositories.is_tagged(*manifest)});
  }
  view.blobs = parts_.repositories.blobs_in(repository->id);
  auto find = [view = std::move(view), rules = options_.unused, now = wall_now()] {
    return Result<policy::UnusedImages>(policy::find_unused_images(view, rules, now));
  };
  THAW_CO_TRY(const policy::UnusedImages unused,
              co_await async::blocking(parts_.pool, std::move(find)));
  std::unordered_set<std::string> going;
  for (const auto& manifest : unused.manifests) {
    going.insert(manifest->sha256_hex);
  }
  std::size_t manifests = 0;
  std::size_t blobs = 0;
  // Holders first: one that is in use again by now keeps those that it holds.
  for (const auto& manifest : unused.manifests) {  // tidy(held): this task's own
    if (is_in_use(parts_.repositories, *manifest, going)) {
      going.erase(manifest->sha256_hex);
    } else if (parts_.repositories.manifest(repository->id, manifest->sha256_hex) == manifest) {
      THAW_CO_TRY_VOID(co_await parts_.repositories.erase_manifest(manifest));
      ++manifests;
    }
  }
  for (const auto& blob : unused.blobs) {  // tidy(held): this task's own
    if (parts_.repositories.blob(repository->id, blob->sha256_hex) == blob &&
        !parts_.repositories.is_named(repository->id, blob->sha256_hex)) {
      THAW_CO_TRY_VOID(co_await parts_.repositories.erase_blob(blob));
      ++blobs;
    }
  }
  if (manifests > 0 || blobs > 0) {
    log_info("unused images removed", {{"repository", repository->name},
                                       {"manifests", std::to_string(manifests)},
                                       {"blobs", std::to_string(blobs)}});
  }
  co_return co_await parts_.repositories.erase_if_empty(std::move(repository));
}

Task<void> OwnRegistry::look_after() {
  uploads_.expire(monotonic_now());
  Result<void> outcome;
  for (const auto& repository : parts_.repositories.all()) {  // tidy(held): this task's own list
    Result<void> erased = co_await erase_unused(repository);
    outcome = outcome ? std::move(erased) : std::move(outcome);
  }
  co_return outcome;
}

std::optional<image::LocalImages::Place> OwnRegistry::place_of(const image::ImageName& name) const {
  const auto& names = options_.names;
  if (is_own_host(name.host, authority_) ||
      std::find(names.begin(), names.end(), name.host) != names.end()) {
    return Place{name.path, Place::Where::only_here};
  }
  if (const auto repository = stands_in ? stands_in(name) : std::nullopt) {
    return Place{*repository, Place::Where::before_others};
  }
  return std::nullopt;
}

Task<std::string> OwnRegistry::manifest(std::string workspace, std::string repository,
                                        std::string reference) {
  const auto found = find_manifest(model::WorkspaceId(workspace), repository, reference);
  if (!found) {
    co_return not_here(repository, reference);
  }
  THAW_CO_TRY_VOID(co_await parts_.repositories.note_use(found));
  co_return co_await parts_.blobs.get(workspace, found->sha256_hex);
}

Task<std::string> OwnRegistry::small_blob(std::string workspace, std::string repository,
                                          std::string digest) {
  const auto hex = codec::sha256_of_digest(digest);
  const auto found = hex ? blob(model::WorkspaceId(workspace), repository, *hex) : nullptr;
  if (!found) {
    co_return not_here(repository, digest);
  }
  if (found->size > image::most_manifest_bytes) {
    co_return Error::failed_precondition("cannot pull " + repository + "@" + digest +
                                         ": it is too large for a configuration");
  }
  co_return co_await parts_.blobs.get(workspace, *hex);
}

Result<std::string> OwnRegistry::file_of(const std::string& workspace,
                                         const std::string& repository, const std::string& digest) {
  const auto hex = codec::sha256_of_digest(digest);
  if (!hex || !blob(model::WorkspaceId(workspace), repository, *hex)) {
    return not_here(repository, digest);
  }
  return parts_.blobs.path(workspace, *hex);
}

bool is_own_host(const std::string& host, const std::string& authority) {
  const auto is_loopback = [](std::string name) {
    if (name.starts_with('[') && name.ends_with(']')) {
      name = name.substr(1, name.size() - 2);
    }
    const auto address = net::IpAddress::parse(name);
    return name == "localhost" || (address && address->place() == net::IpAddress::Place::loopback);
  };
  const std::size_t colon = host.rfind(':');
  const std::size_t own_colon = authority.rfind(':');
  if (host == authority) {
    return !host.empty();
  }
  if (colon == std::string::npos || own_colon == std::string::npos) {
    return false;
  }
  return host.substr(colon) == authority.substr(own_colon) && is_loopback(host.substr(0, colon)) &&
         is_loopback(authority.substr(0, own_colon));
}

}  // namespace thaw::gateway
