// SPDX-License-Identifier: Apache-2.0
//
// What a request below /v2/ names. The names of repositories have slashes, and may have words of
// the protocol between them ("team/blobs/tags"): a path is read from its end. Pure, fuzzed by
// tests/fuzz/oci_manifest.cc.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::dialect::registry {

struct Route {
  enum class Kind { base, token, catalog, uploads, upload, blob, manifest, tags, referrers };
  Kind kind = Kind::base;
  std::string repository;
  std::string reference;  // a tag, a digest, or an upload
};

// not_found: it is no path of the protocol; invalid_argument: the name is none.
Result<Route> read_route(std::string_view path);

}  // namespace thaw::dialect::registry
