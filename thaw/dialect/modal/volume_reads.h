// SPDX-License-Identifier: Apache-2.0
//
// Files of volumes in one answer, as older clients and network file systems have them: what is
// small travels inside it; of what is large the answer names a blob. That blob is no copy. Its id
// says which file of which volume it is, signed, and BlobGet gives an address of that very file.
#pragma once

#include <string>

#include "thaw/dialect/modal/context.h"

namespace thaw::dialect::modal {

struct VolumeRead {
  std::string data;
  std::string blob_id;  // in place of data
  std::uint64_t size = 0;
  std::uint64_t start = 0;
  std::uint64_t length = 0;
};

// `length` 0: to the end. A range that is asked for is cut to what one answer may have, a whole
// file becomes a blob where it is larger. `path` is from worker::volume_path(). not_found;
// failed_precondition for what is no file.
async::Task<VolumeRead> read_from_volume(Context& cx, model::VolumeId id, std::string path,
                                         std::uint64_t start, std::uint64_t length);

bool is_volume_blob(std::string_view blob_id);
// not_found: it is none of this server, or of a volume that the asker does not have.
Result<std::string> volume_blob_url(Context& cx, const gateway::Identity& who,
                                    const gateway::BaseUrl& base, std::string_view blob_id);

}  // namespace thaw::dialect::modal
