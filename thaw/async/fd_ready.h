// SPDX-License-Identifier: Apache-2.0
//
// FdWatch: waits on the loop until a descriptor (pipe, socket, pidfd, eventfd) can be read or
// written. It duplicates the descriptor, so the owner may close its own at any time; it reads
// nothing itself. The descriptor must be non-blocking where reads race (another reader may be
// faster). Loop thread only.
#pragma once

#include <memory>

#include "thaw/async/loop.h"
#include "thaw/async/task.h"

namespace thaw::async {

class FdWatch {
 public:
  FdWatch();
  // Fails only when descriptors have run out, or for files that cannot be waited on.
  static Result<FdWatch> make(Loop& loop, int fd);
  ~FdWatch();
  FdWatch(FdWatch&&) noexcept;
  FdWatch& operator=(FdWatch&&) noexcept;

  // Error::cancelled when the task was cancelled or the watch destroyed.
  Task<void> readable();
  Task<void> writable();

 private:
  struct Watched;
  std::shared_ptr<Watched> watched_;  // shared with waiting frames
};

}  // namespace thaw::async
