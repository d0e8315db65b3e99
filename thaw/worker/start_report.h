// SPDX-License-Identifier: Apache-2.0
//
// StartReport: what a container's language runtime tells of its start, by lines that it writes into
// a pipe with a name, which is bound into the container. A pipe and not a file: a hostile container
// can fill no more than a pipe, and holds up nobody but itself by it. The lines:
//
//     <nanoseconds of the monotonic clock> [restorable]   its first moment; what others that run in
//                                                         the container say later is passed over
//     modules <name>,<name>…                              what it had imported when it ended
//
// Only a stage that people read, and whether a snapshot is possible, depend on it. Loop thread
// only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/os/fd.h"
#include "thaw/worker/snapshot_point.h"

namespace thaw::worker {

class StartReport {
 public:
  // What a line may hold, and the whole of the lines that nobody has read yet.
  static constexpr std::size_t max_bytes = std::size_t{256} << 10;

  // Makes the pipe, whose folder must exist; without it every answer is empty.
  static Result<StartReport> make(std::string path, InsideUsers users = InsideUsers::root);
  StartReport() = default;

  // The first moment; zero if nothing sensible was said.
  Instant started();
  bool is_restorable();
  // Names with commas between them; a stranger's words.
  std::string modules();
  // What was said until now is of a start that failed.
  void forget();

  // Removes the pipe's name. It is not removed by the destructor, for a container may outlive us.
  void remove();

 private:
  void read();
  void take(std::string_view line);

  os::Fd pipe_;
  std::string path_;
  std::string unfinished_;
  bool skips_ = false;  // the rest of a line that is too long
  Instant started_{};
  bool is_restorable_ = false;
  std::string modules_;
};

}  // namespace thaw::worker
