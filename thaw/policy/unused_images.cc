// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/unused_images.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace thaw::policy {

namespace {

using ManifestPtr = std::shared_ptr<const model::RepositoryManifest>;
using Digests = std::unordered_set<std::string>;

WallTime last_use(const model::RepositoryManifest& manifest) {
  return std::max(manifest.pushed_at, manifest.used_at);
}

// Digests of manifests that are held, each found once however they name each other.
Digests find_held(const RepositoryView& view) {
  std::unordered_map<std::string, ManifestPtr> by_digest;
  std::unordered_map<std::string, std::vector<std::string>> about;  // by subject
  std::vector<std::string> next;
  for (const auto& manifest : view.manifests) {
    by_digest[manifest.is->sha256_hex] = manifest.is;
    if (!manifest.is->subject.empty()) {
      about[manifest.is->subject].push_back(manifest.is->sha256_hex);
    }
    if (manifest.is_tagged) {
      next.push_back(manifest.is->sha256_hex);
    }
  }
  Digests held;
  while (!next.empty()) {
    const std::string digest = std::move(next.back());
    next.pop_back();
    const auto found = by_digest.find(digest);
    if (found == by_digest.end() || !held.insert(digest).second) {
      continue;
    }
    next.insert(next.end(), found->second->children.begin(), found->second->children.end());
    if (const auto more = about.find(digest); more != about.end()) {
      next.insert(next.end(), more->second.begin(), more->second.end());
    }
  }
  return held;
}

void add_blobs(const model::RepositoryManifest& manifest, Digests& named) {
  named.insert(manifest.blobs.begin(), manifest.blobs.end());
}

// Which of those that are not held go; `wanted` has the blobs of all that stay afterwards.
std::vector<ManifestPtr> choose(const RepositoryView& view, const Digests& held,
                                const UnusedImageRules& rules, WallTime now, Digests& wanted) {
  std::unordered_map<std::string, std::uint64_t> sizes;
  for (const auto& blob : view.blobs) {
    sizes[blob->sha256_hex] = blob->size;
  }
  std::vector<ManifestPtr> loose;
  for (const auto& manifest : view.manifests) {
    if (held.contains(manifest.is->sha256_hex)) {
      add_blobs(*manifest.is, wanted);
    } else {
      loose.push_back(manifest.is);
    }
  }
  // What was asked for last stays first.
  std::sort(loose.begin(), loose.end(),
            [](const ManifestPtr& a, const ManifestPtr& b) { return last_use(*a) > last_use(*b); });
  std::vector<ManifestPtr> gone;
  std::uint64_t bytes = 0;
  for (const ManifestPtr& manifest : loose) {
    std::uint64_t more = 0;
    for (const std::string& blob : manifest->blobs) {
      more += wanted.contains(blob) ? 0 : sizes[blob];
    }
    const WallTime used = last_use(*manifest);
    const bool is_young = now - used < rules.young;
    const bool is_old = now - used >= rules.keep_untagged;
    if (!is_young && (is_old || bytes + more > rules.untagged_bytes)) {
      gone.push_back(manifest);
      continue;
    }
    bytes += more;
    add_blobs(*manifest, wanted);
  }
  return gone;
}

}  // namespace

UnusedImages find_unused_images(const RepositoryView& view, const UnusedImageRules& rules,
                                WallTime now) {
  Digests wanted;
  UnusedImages unused;
  unused.manifests = choose(view, find_held(view), rules, now, wanted);
  for (const auto& blob : view.blobs) {
    if (!wanted.contains(blob->sha256_hex) && now - blob->linked_at >= rules.young) {
      unused.blobs.push_back(blob);
    }
  }
  return unused;
}

}  // namespace thaw::policy
