// SPDX-License-Identifier: Apache-2.0
//
// Repositories of this server's own registry: what was pushed to it, by name. A repository belongs
// to a workspace, has blobs that were sent or mounted to it, manifests that name blobs and other
// manifests, and tags that name manifests. Bytes are the blob store's. Plain values; digests are
// SHA-256 in hex.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

using RepositoryId = StrongId<struct RepositoryTag>;
using RepositoryBlobId = StrongId<struct RepositoryBlobTag>;
using RepositoryManifestId = StrongId<struct RepositoryManifestTag>;
using RepositoryTagId = StrongId<struct RepositoryTagTag>;

struct Repository {
  RepositoryId id;
  WorkspaceId workspace;
  std::string name;  // "team/app"
  WallTime created_at{};
};

// That a blob is in a repository.
struct RepositoryBlob {
  RepositoryBlobId id;  // of its repository and its digest
  RepositoryId repository;
  WorkspaceId workspace;
  std::string sha256_hex;
  std::uint64_t size = 0;
  WallTime linked_at{};
};

struct RepositoryManifest {
  RepositoryManifestId id;  // of its repository and its digest
  RepositoryId repository;
  WorkspaceId workspace;
  std::string sha256_hex;
  std::uint64_t size = 0;
  std::string media_type;
  std::string artifact_type;          // what a list of referrers says of it
  std::string subject;                // of the manifest that it is about; empty: of none
  std::vector<std::string> blobs;     // that it names: configuration and layers
  std::vector<std::string> children;  // manifests that it names
  std::map<std::string, std::string> annotations;  // of one with a subject
  WallTime pushed_at{};
  WallTime used_at{};  // when somebody asked for it last, roughly
};

struct NamedManifest {
  RepositoryTagId id;  // of its repository and its name
  RepositoryId repository;
  WorkspaceId workspace;
  std::string tag;
  std::string sha256_hex;  // of the manifest
  WallTime tagged_at{};
};

}  // namespace thaw::model
