// SPDX-License-Identifier: Apache-2.0
//
// CommitMark: how many commits a database has had, noted beside it. A write-ahead log that is
// removed, cut off or overwritten at its head looks to SQLite like one that nothing was written to:
// all of its commits are gone without a word. The number in the database is then behind the mark.
// The mark is written after the commit is on disk and is itself never synced, so it is behind after
// a power cut, and never ahead. Blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::store::detail {

class CommitMark {
 public:
  CommitMark() = default;
  // Makes the file or takes over the one there is.
  static Result<CommitMark> open(const std::string& path);
  // Nothing if there is none that can be read.
  static std::optional<std::int64_t> read(const std::string& path);

  // What cannot be written (on a full disk) is left behind: the mark says less, nothing wrong.
  void note(std::int64_t commits);

 private:
  os::Fd file_;
};

}  // namespace thaw::store::detail
