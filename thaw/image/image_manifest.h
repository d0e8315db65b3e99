// SPDX-License-Identifier: Apache-2.0
//
// The JSON of images as registries and archives hold it: OCI's and Docker's (schema 2) manifests,
// indexes of one for each platform, and the configuration that a manifest names. It is a
// stranger's: sizes and counts are bounded, and what is not understood is an error that says what.
// Pure, fuzzed by tests/fuzz/image_manifest.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/image/image.h"

namespace thaw::image {

// Of a manifest or an index, and of a configuration.
inline constexpr std::size_t most_manifest_bytes = 4u << 20;
// More layers than an overlay takes with those of a recipe above them.
inline constexpr std::size_t most_layers = 200;

// What a client says that it takes, for the header Accept.
inline constexpr const char* manifest_types =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

struct Platform {
  std::string architecture;  // "amd64"; the system is always linux

  static Platform own();  // of this machine
};

// Something that is found by its digest.
struct Descriptor {
  std::string digest;      // "sha256:…"
  std::uint64_t size = 0;  // bytes
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first, as they are stored: mostly compressed
};

// The manifest, or of an index the descriptor of the one for the platform. not_found: the index has
// none for it, and names those that it has; unimplemented: schema 1, or what is no image.
using ManifestOrNext = std::variant<Manifest, Descriptor>;
Result<ManifestOrNext> read_manifest(std::string_view bytes, const Platform& platform);

// What an image says of itself beside what a Dockerfile's lines on it start from.
struct ImageNotes {
  std::map<std::string, std::string> labels;
  std::uint16_t port = 0;  // the lowest of TCP that it exposes; 0: none
};

struct ConfigFile {
  ImageConfig config;
  ImageNotes notes;
  std::vector<std::string> layer_ids;  // digests of the layers' tar streams, lowest first
};
// Env, WorkingDir, User, Entrypoint, Cmd, Shell, OnBuild and StopSignal as a Dockerfile's own lines
// would set them. failed_precondition: it is for another platform.
Result<ConfigFile> read_config_file(std::string_view bytes, const Platform& platform);

}  // namespace thaw::image
