// SPDX-License-Identifier: Apache-2.0
//
// What a registry must know of a manifest or an index that somebody pushes: of which kind it is,
// what it names, and what it is about. The rest is its maker's and is kept as it came. It is a
// stranger's: sizes and counts are bounded. What an image's manifest means to who runs it is
// image/image_manifest.h. Pure, fuzzed by tests/fuzz/oci_manifest.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::codec {

inline constexpr std::string_view oci_index_type = "application/vnd.oci.image.index.v1+json";

// The hex of "sha256:HEX", which is the only algorithm that is kept; nullopt: it is none.
std::optional<std::string> sha256_of_digest(std::string_view digest);

struct ManifestFacts {
  struct Named {
    std::string sha256_hex;
    std::uint64_t size = 0;
    bool is_elsewhere = false;  // it has addresses of its own, and need not be here
  };
  std::string media_type;
  std::string artifact_type;  // what a list of referrers says of it
  std::vector<Named> blobs;   // the configuration first, then the layers
  std::vector<Named> children;
  std::string subject;  // SHA-256 in hex; empty: it is about no other
  std::map<std::string, std::string> annotations;
};

// `content_type`: as it was sent, "" where nothing was said. invalid_argument says which part of it
// is wrong.
Result<ManifestFacts> read_oci_manifest(std::string_view bytes, std::string_view content_type);

}  // namespace thaw::codec
