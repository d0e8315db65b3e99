// SPDX-License-Identifier: Apache-2.0
//
// Which ids of the machine belong to which sandbox. A range is 65,536 user and group ids that
// nobody else on the machine has: its user namespace shows them as 0 to 65,535. Servers of one
// machine share what there is in blocks, each of which is a locked file below /run/thaw: a lock
// ends with the process that has it, so that a killed server's ranges are free again, once what it
// left behind has been removed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

inline constexpr std::uint32_t ids_in_range = 65'536;
// Below are the machine's own users and those that its rootless containers have by default.
inline constexpr std::uint32_t first_range_id = 524'288;
inline constexpr std::uint32_t range_id_end = 0x8000'0000U;

// Whose ids a sandbox lives with: in its own range it may become any user of it.
enum class Ids { of_machine, own };

struct IdRange {
  std::uint32_t first = 0;  // 0: none, ids are the machine's

  bool valid() const { return first != 0; }
  Ids ids() const { return valid() ? Ids::own : Ids::of_machine; }
  // The user that makes the range's user namespace, and no other one. The kernel counts what all
  // of the namespace holds as this user's (inotify instances, queued signals, timers, message
  // queues), and gives it every power in there: so it is never 0, and an id that nobody has.
  uid_t maker() const { return range_id_end + first / ids_in_range; }
};

class IdRanges {
 public:
  // What an earlier spawner of this server had may still be used by processes that cannot die.
  enum class OwnBlocks { free, in_use };

  // `folder` holds the blocks of all servers; `servers` a file for each server that lives or whose
  // traces are still there.
  IdRanges(std::string folder, std::string servers, std::string instance,
           OwnBlocks own = OwnBlocks::free);

  // The one that has been free longest. resource_exhausted when the machine has no more.
  Result<IdRange> take();
  // When no process, mount or network of it is left.
  void give_back(IdRange range) { free_.push_back(range); }

 private:
  Result<void> take_block();

  std::string folder_;
  std::string servers_;
  std::string instance_;
  OwnBlocks own_;
  std::deque<IdRange> free_;
  std::vector<os::Fd> blocks_;  // locks
  std::vector<std::uint32_t> taken_;
};

// First ids and counts that /etc/subuid, /etc/subgid ("name:first:count") or /etc/passwd and
// /etc/group ("name:x:id:…") give away, of `text`.
using IdSpans = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
IdSpans spans_in_subids(std::string_view text);
IdSpans spans_in_users(std::string_view text);

}  // namespace thaw::sandbox::detail
