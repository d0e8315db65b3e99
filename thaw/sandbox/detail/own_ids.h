// SPDX-License-Identifier: Apache-2.0
//
// Whether this machine lets sandboxes have ids of their own, and how files are made for them. It
// takes mounts that show ids otherwise than they are on disk (Linux 5.19 for overlays, and a file
// system that can) and user namespaces; versions and names tell less than a try does.
#pragma once

#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/sandbox/detail/id_ranges.h"

namespace thaw::sandbox::detail {

// Mounts a root as a sandbox's in `folder`, writes into it, and looks at whose the file is on disk.
// The error says what did not go, and what to do. In a child: nothing is mounted afterwards.
// `shown`: folders whose files sandboxes are to see.
Result<void> try_own_ids(const std::string& folder, const std::vector<std::string>& shown,
                         IdRange range);

// While it lives, what this process makes belongs to the first id of the range; its powers stay.
class MakingFilesAs {
 public:
  explicit MakingFilesAs(IdRange range);
  ~MakingFilesAs();
  MakingFilesAs(const MakingFilesAs&) = delete;
  MakingFilesAs& operator=(const MakingFilesAs&) = delete;

 private:
  IdRange range_;
  unsigned long bits_ = 0;
};

}  // namespace thaw::sandbox::detail
