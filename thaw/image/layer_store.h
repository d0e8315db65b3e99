// SPDX-License-Identifier: Apache-2.0
//
// LayerStore: finished layers and base roots, as folders that never change.
//   LAYERS/<key>/{fs,meta.json}   what one step wrote, as overlayfs makes it (whiteouts included)
//   LAYERS/images/<key>.json      an image: its stack of layers, its config
//   BASES/<name>/{fs,meta.json}   a base root
//   LAYERS/tmp/<session>/         drafts of one server; LAYERS/locks/<key>
// A layer is made in a draft, synced and renamed, so it is there whole or not at all; drafts of a
// server that died are removed by the next one that opens the store. Several servers may share a
// store: lock() says who builds a key. All members block shortly (commit: one sync of the disk).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/image/image_record.h"
#include "thaw/os/fd.h"

namespace thaw::image {

// A folder for work in progress; removed with its contents when it goes away.
class Draft {
 public:
  explicit Draft(std::string folder) : folder_(std::move(folder)) {}
  Draft(Draft&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft();
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

// Held while a key is built; another holder, in this or another process, must wait.
class KeyLock {
 public:
  KeyLock(std::string path, os::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  KeyLock(KeyLock&&) noexcept = default;
  KeyLock& operator=(KeyLock&&) = delete;
  ~KeyLock();

 private:
  std::string path_;
  os::Fd fd_;
};

class LayerStore {
 public:
  static Result<std::unique_ptr<LayerStore>> open(std::string layers_folder,
                                                  std::string bases_folder);
  ~LayerStore();

  // The image of that key, if its record and all its layers are there.
  Result<ImageRecord> find(const std::string& key) const;
  Result<void> put(const std::string& key, const ImageRecord& record);

  // Whether commit_layer() of that key would find one.
  bool has_layer(const std::string& key) const;

  Result<Draft> draft() const;
  // nullopt: somebody else holds it.
  Result<std::optional<KeyLock>> try_lock(const std::string& key) const;

  // DRAFT/<tree> becomes the layer of `key`; returns its name. With Reuse::never an older layer of
  // the key stays beside the new one, for containers that run on it.
  enum class Reuse { existing, never };
  Result<std::string> commit_layer(const Draft& draft, const std::string& tree,
                                   const std::string& key, const std::string& meta, Reuse reuse);
  // The same for a base root.
  Result<std::string> commit_base(const Draft& draft, const std::string& tree,
                                  const std::string& name, const std::string& meta);

  // The folder of a layer name, to be mounted.
  std::string folder_of(const std::string& layer) const;

 private:
  LayerStore(std::string layers, std::string bases, std::string session, os::Fd session_lock);
  Result<void> publish(const Draft& draft, const std::string& tree, const std::string& target,
                       const std::string& meta) const;

  std::string layers_;
  std::string bases_;
  std::string session_;  // LAYERS/tmp/<session>
  os::Fd session_lock_;
};

}  // namespace thaw::image
