// SPDX-License-Identifier: Apache-2.0
//
// ByteCopy: the bytes of one file appended to another in steps, so that a huge one holds a thread
// for a moment only and costs the disk what it holds: holes stay holes. Where the file system can
// share blocks it does. What the source grows by meanwhile is left out. Pool threads only.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::worker {

// What one step of a long piece of work on volumes moves at most: some tens of milliseconds.
inline constexpr std::uint64_t copy_step_bytes = 16u << 20;

class ByteCopy {
 public:
  // The source is copied to [offset, …) of `to`.
  static Result<ByteCopy> begin(os::Fd from, std::uint64_t offset);

  enum class Progress { more, done };
  // At most `copy_step_bytes`, or as many pieces of a file of holes as take about that long. At its
  // end `to` is as long as offset and source together at least.
  Result<Progress> step(const os::Fd& to);
  std::uint64_t size() const { return size_; }

 private:
  ByteCopy(os::Fd from, std::uint64_t offset, std::uint64_t size)
      : from_(std::move(from)), offset_(offset), size_(size) {}
  Result<bool> find_data();
  Result<std::uint64_t> copy_some(const os::Fd& to, std::uint64_t most);

  os::Fd from_;
  std::uint64_t offset_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::uint64_t data_end_ = 0;
  enum class Way { shared, through_here } way_ = Way::shared;
};

}  // namespace thaw::worker
