// SPDX-License-Identifier: Apache-2.0
//
// What is kept about an image under its key: the layers (by name, lowest first), the config and
// the Python version. A record that cannot be read counts as missing: the image is built again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/image/image.h"

namespace thaw::image {

struct ImageRecord {
  std::vector<std::string> layers;  // names of LayerStore
  ImageConfig config;
  std::string python;
};

std::string write_record(const ImageRecord& record);
std::optional<ImageRecord> read_record(std::string_view text);

}  // namespace thaw::image
