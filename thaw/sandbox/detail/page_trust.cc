// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/page_trust.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
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

bool holds_mark(const os::Fd& file) {
  constexpr std::size_t step = 1u << 20;
  std::vector<char> buffer(step + mark.size());
  std::size_t kept = 0;  // of the piece before: the mark may lie across two
  while (true) {
    const ssize_t n = ::read(file.get(), buffer.data() + kept, step);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    const std::size_t size = kept + static_cast<std::size_t>(n);
    if (::memmem(buffer.data(), size, mark.data(), mark.size()) != nullptr) {
      return true;
    }
    kept = std::min(size, mark.size() - 1);
    std::memmove(buffer.data(), buffer.data() + size - kept, kept);
  }
}

using FileId = std::pair<dev_t, ino_t>;

bool runs_mark(const std::string& process, std::set<FileId>& seen) {
  const auto maps = os::read_text(process + "/maps");
  if (!maps) {
    return false;  // it has ended
  }
  std::istringstream lines(*maps);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string range, rights;
    words >> range >> rights;
    if (rights.size() < 3 || rights[2] != 'x') {
      continue;
    }
    // By the mapping, not by its name: what a path means is the tenant's to change.
    const os::Fd file(
        ::open((process + "/map_files/" + range).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size > largest || !seen.insert({status.st_dev, status.st_ino}).second) {
      continue;
    }
    if (holds_mark(file)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool gives_memory_back_or_dies() {
  std::set<FileId> seen;
  for (const std::string& name : os::list_folder("/proc")) {
    if (name.find_first_not_of("0123456789") == std::string::npos &&
        runs_mark("/proc/" + name, seen)) {
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
