// SPDX-License-Identifier: Apache-2.0
//
// The stored forms of repositories and of what is in them, and what they are found by.
#pragma once

#include "thaw/catalog/object_table.h"
#include "thaw/model/repository.h"

namespace thaw::catalog {

// What a blob or manifest of a repository is called where it is asked for by others; and its id.
std::string in_repository(const model::RepositoryId& repository, const std::string& name);

template <>
inline std::string index_key(const model::Repository& repository) {
  return repository.workspace.str() + "/" + repository.name;
}
template <>
inline std::string owner_key(const model::Repository& repository) {
  return repository.workspace.str();
}
template <>
inline std::string index_key(const model::RepositoryBlob& blob) {
  return blob.repository.str();
}
template <>
inline std::string index_key(const model::RepositoryManifest& manifest) {
  return manifest.repository.str();
}
// The manifest that it is about.
template <>
inline std::string owner_key(const model::RepositoryManifest& manifest) {
  return manifest.subject.empty() ? "" : in_repository(manifest.repository, manifest.subject);
}
// Blobs and manifests of its repository.
template <>
std::vector<std::string> named_by(const model::RepositoryManifest& manifest);
template <>
inline std::string index_key(const model::NamedManifest& tag) {
  return in_repository(tag.repository, tag.sha256_hex);
}

}  // namespace thaw::catalog
