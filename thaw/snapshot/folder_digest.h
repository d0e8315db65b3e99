// SPDX-License-Identifier: Apache-2.0
//
// Two ways to look at a folder. Its digest is over every name, kind, mode, owner and byte: slow and
// sure. Its signature is over names, sizes, times and inode numbers: it reads no file, and as long
// as it stays the same nobody has written to, replaced or removed a file in the usual ways. Both
// block; on a pool thread.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/result.h"

namespace thaw::snapshot {

struct FolderDigest {
  std::string sha256_hex;
  std::uint64_t bytes = 0;
};

Result<FolderDigest> digest_of(const std::string& folder);
Result<std::string> signature_of(const std::string& folder);

}  // namespace thaw::snapshot
