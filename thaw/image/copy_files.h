// SPDX-License-Identifier: Apache-2.0
//
// COPY without a sandbox: files of the context, or of another image, into a RootTree. Paths and
// links inside the trees are hostile; contents are checked against their digests while they are
// copied. Blocking.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "thaw/image/plan.h"
#include "thaw/image/root_tree.h"

namespace thaw::image {

// Where a blob's file is, by digest; all that the step needs.
using BlobPaths = std::map<std::string, std::string>;

// The items of the step (its context and heredocs).
Result<void> copy_items(const RootTree& target, const CopyStep& step, const BlobPaths& blobs);

// The patterns of the step, found in `source`: a file, what is in a folder, or what matches.
Result<void> copy_from_tree(const RootTree& target, const CopyStep& step, const RootTree& source);

// "user", "user:group", "1000:1000" by the target's own /etc/passwd and /etc/group.
Result<RootTree::Owner> find_owner(const RootTree& tree, const std::string& text);

}  // namespace thaw::image
