// SPDX-License-Identifier: Apache-2.0
//
// ImageName: what FROM calls an image, [HOST[:PORT]/]PATH[:TAG][@sha256:HEX]. The part before the
// first slash is a host if it has a dot or a port, or is "localhost", as every tool reads it; the
// host that tools put in front of a name without one counts as none. Pure.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::image {

struct ImageName {
  std::string host;    // "registry.lan:5000", lower case; empty: none is named
  std::string path;    // "team/app"
  std::string tag;     // "latest" where neither tag nor digest stands
  std::string digest;  // "sha256:…"; empty: none

  // The whole, in one writing: names that mean the same are equal.
  std::string str() const;
  // What a registry knows the image by: its digest, or else its tag.
  const std::string& reference() const { return digest.empty() ? tag : digest; }
};

// invalid_argument says which part is wrong.
Result<ImageName> parse_image_name(std::string_view text);

// "host", "host:port", "[::1]:5000", in lower case; nothing that leads elsewhere in a URL.
bool is_registry_host(std::string_view text);
// The path of a name, and its tag, as registries have them.
bool is_repository_path(std::string_view text);
bool is_tag(std::string_view text);
// "sha256:" and 64 digits of lower-case hex; other algorithms are not spoken.
bool is_digest(std::string_view text);

}  // namespace thaw::image
