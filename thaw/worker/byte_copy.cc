// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/byte_copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace thaw::worker {

namespace {

constexpr int pieces_in_a_step = 256;

Error copy_failure() { return Error::from_errno(errno, "cannot copy a file of the volume"); }

}  // namespace

Result<ByteCopy> ByteCopy::begin(os::Fd from, std::uint64_t offset) {
  struct stat status;
  if (::fstat(from.get(), &status) != 0) {
    return copy_failure();
  }
  return ByteCopy(std::move(from), offset, static_cast<std::uint64_t>(status.st_size));
}

// Moves to the next bytes that are there; false at the end.
Result<bool> ByteCopy::find_data() {
  if (position_ >= size_) {
    return false;
  }
  const off64_t data = ::lseek64(from_.get(), static_cast<off64_t>(position_), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    return false;
  }
  if (data < 0 && errno == EINVAL) {  // a file system that knows no holes
    data_end_ = size_;
    return true;
  }
  const off64_t hole = data < 0 ? data : ::lseek64(from_.get(), data, SEEK_HOLE);
  if (hole < 0) {
    return errno == ENXIO ? Result<bool>(false) : Result<bool>(copy_failure());
  }
  position_ = static_cast<std::uint64_t>(data);
  data_end_ = std::min(static_cast<std::uint64_t>(hole), size_);
  return position_ < size_;
}

Result<std::uint64_t> ByteCopy::copy_some(const os::Fd& to, std::uint64_t most) {
  auto in = static_cast<off64_t>(position_);
  auto out = static_cast<off64_t>(offset_ + position_);
  if (way_ == Way::shared) {
    const ssize_t n = ::copy_file_range(from_.get(), &in, to.get(), &out, most, 0);
    if (n >= 0) {
      return static_cast<std::uint64_t>(n);
    }
    if (errno == EINTR) {
      return copy_some(to, most);
    }
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      return copy_failure();
    }
    way_ = Way::through_here;
  }
  std::string buffer(std::min<std::uint64_t>(most, 1 << 20), '\0');
  const ssize_t n = ::pread64(from_.get(), buffer.data(), buffer.size(), in);
  if (n < 0) {
    return copy_failure();
  }
  for (ssize_t done = 0; done < n;) {
    const ssize_t written =
        ::pwrite64(to.get(), buffer.data() + done, static_cast<std::size_t>(n - done), out + done);
    if (written < 0) {
      return copy_failure();
    }
    done += written;
  }
  return static_cast<std::uint64_t>(n);
}

Result<ByteCopy::Progress> ByteCopy::step(const os::Fd& to) {
  std::uint64_t left = copy_step_bytes;
  for (int pieces = 0; left > 0 && pieces < pieces_in_a_step; ++pieces) {
    if (position_ >= data_end_) {
      THAW_TRY(const bool found, find_data());
      if (!found) {
        struct stat status;
        const auto end = static_cast<off64_t>(offset_ + size_);
        if (::fstat(to.get(), &status) != 0 ||
            (status.st_size < end && ::ftruncate64(to.get(), end) != 0)) {
          return copy_failure();
        }
        return Progress::done;
      }
    }
    THAW_TRY(const std::uint64_t copied, copy_some(to, std::min(left, data_end_ - position_)));
    // Nothing: the source was cut meanwhile. What it had there is a hole now.
    position_ = copied == 0 ? data_end_ : position_ + copied;
    left -= copied;
  }
  return Progress::more;
}

}  // namespace thaw::worker
