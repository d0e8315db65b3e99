// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/output_journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "thaw/os/fd.h"
#include "thaw/os/files.h"

namespace thaw::worker {

namespace {

constexpr std::uint64_t page = 4'096;
constexpr std::uint64_t worth_a_hole = 256u << 10;

// Where the last part without a hole begins: a hole is what was forgotten, or what a full disk did
// not take.
std::uint64_t begin_of_last(int file, std::uint64_t size) {
  std::uint64_t begin = size;
  off_t at = 0;
  while (true) {
    const off_t data = ::lseek(file, at, SEEK_DATA);
    const off_t hole = data < 0 ? -1 : ::lseek(file, data, SEEK_HOLE);
    if (hole < 0) {
      return begin;
    }
    if (static_cast<std::uint64_t>(hole) >= size) {
      return static_cast<std::uint64_t>(data);
    }
    at = hole;
  }
}

}  // namespace

OutputJournal& OutputJournal::operator=(OutputJournal&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
    dropped_ = other.dropped_;
  }
  return *this;
}

void OutputJournal::drop_until(std::uint64_t place) {
  const std::uint64_t until = place / page * page;
  if (path_.empty() || until < dropped_ + worth_a_hole) {
    return;
  }
  const os::Fd file(::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.valid()) {
    ::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                static_cast<off_t>(until));
  }
  dropped_ = until;
}

OutputJournal::Content OutputJournal::load(std::uint64_t most) const {
  const os::Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return {};
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  Content content;
  content.begin = std::max(begin_of_last(file.get(), size), size - std::min(size, most));
  content.bytes.resize(size - content.begin);
  std::size_t done = 0;
  while (done < content.bytes.size()) {
    const ssize_t n = ::pread(file.get(), content.bytes.data() + done, content.bytes.size() - done,
                              static_cast<off_t>(content.begin + done));
    if (n <= 0) {
      return {size, {}};  // its disk is broken: the stream goes on behind it
    }
    done += static_cast<std::size_t>(n);
  }
  return content;
}

void OutputJournal::remove() {
  if (!path_.empty()) {
    ::unlink(path_.c_str());
    path_.clear();
  }
}

Result<std::string> OutputJournals::place(const model::ContainerId& box,
                                          std::uint64_t number) const {
  const std::string folder = folder_ + "/" + box.str();
  THAW_TRY_VOID(os::make_folders(folder, 0700));
  return folder + "/" + std::to_string(number);
}

void OutputJournals::remove(const model::ContainerId& box) const {
  if (are_kept()) {
    (void)os::remove_tree(folder_ + "/" + box.str());
  }
}

void OutputJournals::keep_only(
    const std::function<bool(const model::ContainerId&)>& is_wanted) const {
  for (const std::string& name : os::list_folder(folder_)) {
    if (!is_wanted(model::ContainerId(name))) {
      remove(model::ContainerId(name));
    }
  }
}

}  // namespace thaw::worker
