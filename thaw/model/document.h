// SPDX-License-Identifier: Apache-2.0
//
// Document: what a dialect keeps of its own in a workspace and finds again by a name: a file that
// somebody has sent, a deployment that is no function. What its text says only that dialect reads;
// the blobs that it names stay for as long as it does. A plain value.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

using DocumentId = StrongId<struct DocumentTag>;

// Where a document is: names are of one kind, of one dialect, in one workspace.
struct DocumentPlace {
  WorkspaceId workspace;
  std::string dialect;
  std::string kind;
};

struct Document {
  DocumentId id;  // of its place and its name
  DocumentPlace place;
  std::string name;
  std::string text;
  std::vector<std::string> blobs = {};  // SHA-256 in hex
  WallTime created_at{};
  std::optional<WallTime> expires_at = std::nullopt;
};

}  // namespace thaw::model
