// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/page_trust.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "thaw/os/files.h"

namespace thaw::sandbox::detail {

namespace {

// V8's last words: in the read-only data of node, libnode.so, workerd and deno.
constexpr std::string_view mark = "# Fatal error in %s";
constexpr const char* note = "read-pages";
// No build of V8 is larger; the libraries of numeric packages are, and take seconds to look
// through.
constexpr std::int64_t largest = std::int64_t{512} << 20;

enum class Found { no, yes, too_much };

Found look_for_mark(const os::Fd& file, std::uint64_t& left) {
  constexpr std::size_t step = 1u << 20;
  std::vector<char> buffer(step + mark.size());
  std::size_t kept = 0;  // of the piece before: the mark may lie across two
  while (true) {
    const ssize_t n = ::read(file.get(), buffer.data() + kept, step);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return Found::no;
    }
    const std::size_t size = kept + static_cast<std::size_t>(n);
    if (::memmem(buffer.data(), size, mark.data(), mark.size()) != nullptr) {
      return Found::yes;
    }
    if (static_cast<std::uint64_t>(n) >= left) {
      return Found::too_much;
    }
    left -= static_cast<std::uint64_t>(n);
    kept = std::min(size, mark.size() - 1);
    std::memmove(buffer.data(), buffer.data() + size - kept, kept);
  }
}

// As map_files names a range: without the zeros in front that maps has for low addresses, where
// programs lie that are not made to be moved.
std::string name_of_range(std::string_view range) {
  std::string name;
  for (std::string_view rest = range; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('-'));
    const std::size_t first = std::min(part.find_first_not_of('0'), part.size() - 1);
    name += (name.empty() ? "" : "-") + std::string(part.substr(part.empty() ? 0 : first));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  }
  return name;
}

// The names of what is mapped to be executed, in the text of maps.
std::vector<std::string> executable_ranges(const std::string& maps) {
  std::vector<std::string> ranges;
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string range, rights;
    words >> range >> rights;
    if (rights.size() >= 3 && rights[2] == 'x') {
      ranges.push_back(name_of_range(range));
    }
  }
  return ranges;
}

class Look {
 public:
  explicit Look(LookLimits limits) : left_(limits) {}

  Found at(const std::string& process) {
    std::string maps;
    if (const Found read = read_maps(process + "/maps", maps); read != Found::yes) {
      return read;
    }
    for (const std::string& range : executable_ranges(maps)) {
      // By the mapping, not by its name: what a path means is the tenant's to change.
      const os::Fd file(
          ::open((process + "/map_files/" + range).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
      struct stat status {};
      if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
          status.st_size > largest || !seen_.insert({status.st_dev, status.st_ino}).second) {
        continue;
      }
      if (const Found found = look_for_mark(file, left_.file_bytes); found != Found::no) {
        return found;
      }
    }
    return Found::no;
  }

 private:
  // `yes`: it was there; `no`: the process has ended.
  Found read_maps(const std::string& path, std::string& text) {
    const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char piece[64 * 1024];
    for (ssize_t n = 0; file.valid() && (n = ::read(file.get(), piece, sizeof piece)) != 0;) {
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0) {
        return Found::no;
      }
      if (static_cast<std::size_t>(n) >= left_.maps_bytes) {
        return Found::too_much;
      }
      left_.maps_bytes -= static_cast<std::size_t>(n);
      text.append(piece, static_cast<std::size_t>(n));
    }
    return file.valid() ? Found::yes : Found::no;
  }

  LookLimits left_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

bool gives_memory_back_or_dies(const std::string& proc, LookLimits limits) {
  Look look(limits);
  for (const std::string& name : os::list_folder(proc)) {
    // PID 1 is this program, which holds the text that is looked for, and is not restored.
    if (name.find_first_not_of("0123456789") == std::string::npos && name != "1" &&
        look.at(proc + "/" + name) != Found::no) {
      return true;
    }
  }
  return false;
}

Result<void> note_pages_are_read(const os::Fd& images) {
  const os::Fd made(
      ::openat(images.get(), note, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made.valid()) {
    return Error::from_errno(errno, "note how a checkpoint is to be restored");
  }
  return ok();
}

bool are_pages_read(const os::Fd& images) {
  return ::faccessat(images.get(), note, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace thaw::sandbox::detail
