// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/own_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "thaw/os/files.h"
#include "thaw/os/reclaim.h"

namespace thaw::os {

namespace {

constexpr int own_mapping_bytes = 512 << 10;
constexpr int kept_at_top_bytes = 8 << 20;

bool has_controller(const std::string& list, std::string_view name) {
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == name) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string memory_group_of(CgroupLayout::Version version, const std::string& proc_cgroup) {
  // "4:memory:/a/b" on v1, "0::/a/b" on v2.
  std::istringstream lines(proc_cgroup);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version == CgroupLayout::Version::v2 ? controllers.empty()
                                             : has_controller(controllers, "memory")) {
      return line.substr(second + 1);
    }
  }
  return {};
}

Result<std::uint64_t> own_memory_limit(const CgroupLayout& layout) {
  THAW_TRY(const MachineMemory machine, machine_memory());
  THAW_TRY(const std::string groups, read_text("/proc/self/cgroup"));
  std::uint64_t least = machine.total_bytes;
  const char* file =
      layout.version == CgroupLayout::Version::v2 ? "/memory.max" : "/memory.limit_in_bytes";
  // A limit of any group above holds as well.
  for (std::string group = memory_group_of(layout.version, groups); group.starts_with('/');
       group.resize(group.rfind('/'))) {
    const auto text = read_text(layout.memory + (group == "/" ? "" : group) + file);
    std::uint64_t bytes = 0;
    // "max", and a file that is not there, are no limit.
    if (text &&
        std::from_chars(text->data(), text->data() + text->size(), bytes).ec == std::errc()) {
      least = std::min(least, bytes);
    }
  }
  return least;
}

Result<std::uint64_t> own_resident_bytes() {
  THAW_TRY(const std::string text, read_text("/proc/self/statm"));
  std::istringstream words(text);
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  words >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void steady_allocator() {
  ::mallopt(M_MMAP_THRESHOLD, own_mapping_bytes);
  ::mallopt(M_TRIM_THRESHOLD, kept_at_top_bytes);
}

void give_memory_back() { ::malloc_trim(0); }

}  // namespace thaw::os
