// SPDX-License-Identifier: Apache-2.0
//
// A layer that was not built here, of a registry or an archive, becomes one of the layer store. It
// is known by the digest of its tar stream, so that it is there once, whatever image or registry it
// comes from and however it was compressed. Several may make the same one at once: each has checked
// what it brings, the first is kept. Blocking.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "thaw/image/layer_store.h"
#include "thaw/image/layer_unpacker.h"

namespace thaw::image {

// The name of a layer in the layer store, as a key of commit_layer().
std::string layer_key(const std::string& layer_id);
// The key of an image of these layers and settings, wherever it came from.
std::string image_key(const std::vector<std::string>& layer_ids, const ImageConfig& config);
// Of layers that are there more than once the topmost counts: an overlay takes each once.
std::vector<std::string> each_once(const std::vector<std::string>& layers);

struct ForeignLayer {
  std::string name;  // of the layer store: "layer:…"
  std::string id;    // "sha256:…" of its tar stream
  std::uint64_t bytes = 0;
  std::uint64_t left_out = 0;
};

// Unpacks `file` in the draft and commits it. data_loss: its stream is not `wanted_id` (empty: any
// is right); else as unpack_layer().
Result<ForeignLayer> commit_foreign_layer(LayerStore& store, const Draft& draft, const os::Fd& file,
                                          const std::string& wanted_id, const UnpackLimits& limits,
                                          const std::atomic<bool>& stop);

}  // namespace thaw::image
