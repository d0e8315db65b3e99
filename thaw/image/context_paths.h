// SPDX-License-Identifier: Apache-2.0
//
// Paths of COPY: normalising, wildcards, and what a source means in a build context (which is a
// list of files without folders of their own). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/image/image.h"
#include "thaw/image/plan.h"

namespace thaw::image {

// "a//b/../c/" becomes "/a/c": absolute, without ".", ".." (which stop at the root) and doubled or
// trailing slashes.
std::string normal_path(std::string_view path);
// `path` seen from `folder` when it is relative.
std::string absolute_path(std::string_view folder, std::string_view path);

bool has_wildcard(std::string_view pattern);
// Go's path.Match on normal paths: * and ? stop at slashes, [a-z] and \x. A malformed pattern
// matches nothing.
bool matches(std::string_view pattern, std::string_view path);

// What `source` names in the recipe: a file of `files`, a file or folder of `context`, or all that
// a wildcard matches (sorted). Empty: nothing is there.
std::vector<CopyItem> find_in_context(const Recipe& recipe, const std::string& source);

}  // namespace thaw::image
