// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/unused_images.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>

namespace thaw::policy {

namespace {

using ManifestPtr = std::shared_ptr<const model::RepositoryManifest>;
using Digests = std::unordered_set<std::string>;

// What is in a repository, and what holds what.
class Manifests {
 public:
  explicit Manifests(const RepositoryView& view) {
    for (const auto& manifest : view.manifests) {
      by_digest_[manifest.is->sha256_hex] = manifest.is;
    }
    for (const auto& [digest, manifest] : by_digest_) {
      for (const std::string& child : manifest->children) {
        named_by_[child].push_back(manifest);
      }
      if (!manifest->subject.empty()) {
        about_[manifest->subject].push_back(manifest);
      }
    }
  }

  // nullptr: it is not here.
  ManifestPtr find(const std::string& digest) const {
    const auto here = by_digest_.find(digest);
    return here == by_digest_.end() ? nullptr : here->second;
  }
  std::vector<ManifestPtr> about(const model::RepositoryManifest& manifest) const {
    return found(about_, manifest.sha256_hex);
  }
  std::vector<ManifestPtr> held_by(const model::RepositoryManifest& manifest) const {
    std::vector<ManifestPtr> held = about(manifest);
    for (const std::string& child : manifest.children) {
      if (ManifestPtr here = find(child)) {
        held.push_back(std::move(here));
      }
    }
    return held;
  }
  std::vector<ManifestPtr> holders_of(const model::RepositoryManifest& manifest) const {
    std::vector<ManifestPtr> holders = found(named_by_, manifest.sha256_hex);
    if (ManifestPtr subject = find(manifest.subject)) {
      holders.push_back(std::move(subject));
    }
    return holders;
  }

 private:
  using Lists = std::unordered_map<std::string, std::vector<ManifestPtr>>;
  static std::vector<ManifestPtr> found(const Lists& lists, const std::string& digest) {
    const auto list = lists.find(digest);
    return list == lists.end() ? std::vector<ManifestPtr>() : list->second;
  }

  std::unordered_map<std::string, ManifestPtr> by_digest_;
  Lists named_by_;
  Lists about_;
};

// `first` and all that it holds, in turn, but for what is in `reached` already; which they are
// added to.
std::vector<ManifestPtr> reach(const Manifests& manifests, const ManifestPtr& first,
                               Digests& reached) {
  std::vector<ManifestPtr> family;
  std::vector<ManifestPtr> next{first};
  while (!next.empty()) {
    const ManifestPtr manifest = std::move(next.back());
    next.pop_back();
    if (!reached.insert(manifest->sha256_hex).second) {
      continue;
    }
    family.push_back(manifest);
    const auto held = manifests.held_by(*manifest);
    next.insert(next.end(), held.begin(), held.end());
  }
  return family;
}

struct Loose {
  ManifestPtr is;
  WallTime used{};  // it, or anything that it holds
};

void sort_by_use(std::vector<Loose>& loose) {
  std::stable_sort(loose.begin(), loose.end(),
                   [](const Loose& a, const Loose& b) { return a.used > b.used; });
}

// What was asked for last is first.
std::vector<Loose> find_loose(const RepositoryView& view, const Manifests& manifests,
                              const Digests& held) {
  std::vector<Loose> loose;
  for (const auto& manifest : view.manifests) {
    if (!held.contains(manifest.is->sha256_hex)) {
      loose.push_back({manifest.is, std::max(manifest.is->pushed_at, manifest.is->used_at)});
    }
  }
  sort_by_use(loose);
  // Each use goes up to all holders that none has reached yet, which was a later one.
  std::unordered_map<std::string, WallTime> used;
  for (const Loose& one : loose) {
    std::vector<ManifestPtr> next{one.is};
    while (!next.empty()) {
      const ManifestPtr manifest = std::move(next.back());
      next.pop_back();
      if (used.emplace(manifest->sha256_hex, one.used).second) {
        const auto holders = manifests.holders_of(*manifest);
        next.insert(next.end(), holders.begin(), holders.end());
      }
    }
  }
  for (Loose& one : loose) {
    one.used = used.at(one.is->sha256_hex);
  }
  sort_by_use(loose);
  return loose;
}

// Adds to what is held what stays though no tag holds it, and to `wanted` the blobs of that.
void keep_some(const std::vector<Loose>& loose, const Manifests& manifests,
               const RepositoryView& view, const UnusedImageRules& rules, WallTime now,
               Digests& held, Digests& wanted) {
  std::unordered_map<std::string, std::uint64_t> sizes;
  for (const auto& blob : view.blobs) {
    sizes[blob->sha256_hex] = blob->size;
  }
  std::uint64_t bytes = 0;
  for (const Loose& one : loose) {
    const bool is_young = now - one.used < rules.young;
    if (!is_young && now - one.used >= rules.keep_untagged) {
      return;  // and so are all that follow
    }
    const std::vector<ManifestPtr> family = reach(manifests, one.is, held);
    Digests more;
    for (const ManifestPtr& manifest : family) {
      for (const std::string& blob : manifest->blobs) {
        if (!wanted.contains(blob) && more.insert(blob).second) {
          bytes += sizes[blob];
        }
      }
    }
    if (!is_young && bytes > rules.untagged_bytes) {
      for (const ManifestPtr& manifest : family) {
        held.erase(manifest->sha256_hex);
      }
      return;
    }
    wanted.merge(more);
  }
}

// Who names others comes before those, and before what is about it; an index that is about what it
// names is no more than its holder.
std::vector<ManifestPtr> holders_first(const std::vector<ManifestPtr>& gone,
                                       const Manifests& manifests) {
  std::unordered_map<std::string, std::size_t> named;  // by so many that are not placed yet
  for (const ManifestPtr& manifest : gone) {
    named.try_emplace(manifest->sha256_hex, 0);
  }
  for (const ManifestPtr& manifest : gone) {
    for (const std::string& child : manifest->children) {
      if (const auto entry = named.find(child); entry != named.end()) {
        ++entry->second;
      }
    }
  }
  std::vector<ManifestPtr> ordered;
  Digests placed;
  std::deque<ManifestPtr> ready;
  std::deque<ManifestPtr> behind_subject;
  const auto add = [&](const ManifestPtr& manifest) {
    const bool waits = named.contains(manifest->subject) && !placed.contains(manifest->subject);
    (waits ? behind_subject : ready).push_back(manifest);
  };
  for (const ManifestPtr& manifest : gone) {
    if (named.at(manifest->sha256_hex) == 0) {
      add(manifest);
    }
  }
  while (!ready.empty() || !behind_subject.empty()) {
    std::deque<ManifestPtr>& from = ready.empty() ? behind_subject : ready;
    const ManifestPtr manifest = std::move(from.front());
    from.pop_front();
    if (!placed.insert(manifest->sha256_hex).second) {
      continue;
    }
    ordered.push_back(manifest);
    for (const std::string& child : manifest->children) {
      if (const auto entry = named.find(child); entry != named.end() && --entry->second == 0) {
        add(manifests.find(child));
      }
    }
    for (const ManifestPtr& other : manifests.about(*manifest)) {
      const auto entry = named.find(other->sha256_hex);
      if (entry != named.end() && entry->second == 0) {
        ready.push_back(other);
      }
    }
  }
  for (const ManifestPtr& manifest : gone) {  // in a circle, which digests do not allow
    if (placed.insert(manifest->sha256_hex).second) {
      ordered.push_back(manifest);
    }
  }
  return ordered;
}

}  // namespace

UnusedImages find_unused_images(const RepositoryView& view, const UnusedImageRules& rules,
                                WallTime now) {
  const Manifests manifests(view);
  Digests held;
  Digests wanted;
  for (const auto& manifest : view.manifests) {
    if (manifest.is_tagged) {
      for (const ManifestPtr& one : reach(manifests, manifest.is, held)) {
        wanted.insert(one->blobs.begin(), one->blobs.end());
      }
    }
  }
  const std::vector<Loose> loose = find_loose(view, manifests, held);
  keep_some(loose, manifests, view, rules, now, held, wanted);
  std::vector<ManifestPtr> gone;
  for (const Loose& one : loose) {
    if (!held.contains(one.is->sha256_hex)) {
      gone.push_back(one.is);
    }
  }
  UnusedImages unused;
  unused.manifests = holders_first(gone, manifests);
  for (const auto& blob : view.blobs) {
    if (!wanted.contains(blob->sha256_hex) && now - blob->linked_at >= rules.young) {
      unused.blobs.push_back(blob);
    }
  }
  return unused;
}

}  // namespace thaw::policy
