// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/foreign_layer.h"

#include <sys/stat.h>

#include <algorithm>

#include "thaw/image/key_maker.h"
#include "thaw/os/files.h"

namespace thaw::image {

namespace {

// A change of how a layer is unpacked gets a new number here, and so new keys.
constexpr std::string_view layer_version = "thaw foreign layer 1";
constexpr std::string_view image_version = "thaw foreign image 1";

void add_list(KeyMaker& key, const std::vector<std::string>& list) {
  key.add(std::to_string(list.size()));
  for (const std::string& item : list) {
    key.add(item);
  }
}

}  // namespace

std::string layer_key(const std::string& layer_id) {
  return KeyMaker(layer_version).add(layer_id).key();
}

std::string image_key(const std::vector<std::string>& layer_ids, const ImageConfig& config) {
  KeyMaker key(image_version);
  add_list(key, layer_ids);
  add_list(key, config.env);
  key.add(config.workdir).add(config.user);
  add_list(key, config.entrypoint);
  add_list(key, config.cmd);
  add_list(key, config.shell);
  add_list(key, config.onbuild);
  key.add(std::to_string(config.stop_signal));
  return key.key();
}

std::vector<std::string> each_once(const std::vector<std::string>& layers) {
  std::vector<std::string> out;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    if (std::find(out.begin(), out.end(), *layer) == out.end()) {
      out.push_back(*layer);
    }
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Result<ForeignLayer> commit_foreign_layer(LayerStore& store, const Draft& draft, const os::Fd& file,
                                          const std::string& wanted_id, const UnpackLimits& limits,
                                          const std::atomic<bool>& stop) {
  const std::string folder = draft.folder() + "/fs";
  THAW_TRY_VOID(os::make_folders(folder, 0755));
  // Whatever file creation mask the server has.
  if (::chmod(folder.c_str(), 0755) != 0) {
    return Error::from_errno(errno, "open a layer for all");
  }
  THAW_TRY(const Unpacked unpacked, unpack_layer(file, folder, limits, stop));
  if (!wanted_id.empty() && unpacked.layer_id != wanted_id) {
    return Error(Code::data_loss, "its tar stream is " + unpacked.layer_id +
                                      ", and the image's configuration says that it is " +
                                      wanted_id);
  }
  ForeignLayer layer;
  layer.id = unpacked.layer_id;
  layer.bytes = unpacked.bytes;
  layer.left_out = unpacked.left_out;
  const std::string key = layer_key(layer.id);
  const std::string meta =
      "{\"layer\": \"" + layer.id + "\", \"bytes\": " + std::to_string(layer.bytes) + "}\n";
  auto name = store.commit_layer(draft, "fs", key, meta, LayerStore::Reuse::existing);
  if (!name && !store.has_layer(key)) {
    return name.error();
  }
  layer.name = "layer:" + key;  // of whoever was first
  return layer;
}

}  // namespace thaw::image
