// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/reclaim.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include "thaw/os/fd.h"
#include "thaw/os/files.h"

namespace thaw::os {

namespace {

constexpr int advice_page_out = 21;  // MADV_PAGEOUT
constexpr std::size_t ranges_at_once = 512;

// "7f12-7f34 rw-p …  /path": what the kernel made itself cannot be paged out.
std::vector<iovec> ranges_of(const std::string& maps) {
  std::vector<iovec> ranges;
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("[v") != std::string::npos) {
      continue;
    }
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    const char* end = line.data() + line.size();
    const auto first = std::from_chars(line.data(), end, from, 16);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-' ||
        std::from_chars(first.ptr + 1, end, to, 16).ec != std::errc() || to <= from) {
      continue;
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel says it as a number
    ranges.push_back({reinterpret_cast<void*>(from), to - from});
  }
  return ranges;
}

}  // namespace

Result<MachineMemory> machine_memory() {
  THAW_TRY(const std::string text, read_text("/proc/meminfo"));
  MachineMemory memory;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kilobytes = 0;
    words >> name >> kilobytes;
    if (name == "MemTotal:") {
      memory.total_bytes = kilobytes << 10;
    } else if (name == "MemAvailable:") {
      memory.available_bytes = kilobytes << 10;
    } else if (name == "SwapFree:") {
      memory.swap_free_bytes = kilobytes << 10;
    }
  }
  return memory;
}

Result<std::uint64_t> page_out(int pid) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) {
    return Error::from_errno(errno, "open process " + std::to_string(pid));
  }
  THAW_TRY(const std::string maps, read_text("/proc/" + std::to_string(pid) + "/maps"));
  const std::vector<iovec> ranges = ranges_of(maps);
  std::uint64_t advised = 0;
  for (std::size_t next = 0; next < ranges.size();) {
    const std::size_t count = std::min(ranges_at_once, ranges.size() - next);
    const long done = ::syscall(SYS_process_madvise, process.get(), ranges.data() + next, count,
                                advice_page_out, 0);
    if (done < 0 && errno != EINVAL && errno != ENOMEM && errno != EBADF) {
      return Error::from_errno(errno, "page out process " + std::to_string(pid));
    }
    // It stops at the first range that does not lend itself, and that one is left out.
    auto left = static_cast<std::uint64_t>(std::max(done, 0L));
    advised += left;
    const std::size_t before = next;
    while (next < before + count && left >= ranges[next].iov_len) {
      left -= ranges[next].iov_len;
      ++next;
    }
    if (next < before + count) {
      ++next;
    }
  }
  return advised;
}

}  // namespace thaw::os
