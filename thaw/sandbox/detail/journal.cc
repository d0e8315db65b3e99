// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/journal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace thaw::sandbox::detail {

namespace {

constexpr std::size_t piece_bytes = 64 * 1024;

ssize_t read_piece(int fd, std::string& piece) {
  std::array<char, piece_bytes> buffer;  // NOLINT(*-member-init): read() fills it
  const ssize_t n = ::read(fd, buffer.data(), buffer.size());
  if (n > 0) {
    piece.assign(buffer.data(), static_cast<std::size_t>(n));
  }
  return n;
}

}  // namespace

// Made when there is something for it: most processes have nothing to say on one of their streams.
bool Journal::is_open() {
  if (file_.valid() || path_.empty()) {
    return file_.valid();
  }
  file_ = os::Fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat status {};
  if (file_.valid() && ::fstat(file_.get(), &status) == 0) {
    end_ = status.st_size;
  }
  return file_.valid();
}

// -1 and EINVAL: it cannot be done with these two.
ssize_t Journal::move_from(int fd, std::string& piece) {
  off_t at = end_;
  const ssize_t moved =
      ::splice(fd, nullptr, file_.get(), &at, piece_bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (moved <= 0) {
    return moved;
  }
  piece.resize(static_cast<std::size_t>(moved));
  if (::pread(file_.get(), piece.data(), piece.size(), end_) != moved) {
    errno = EIO;
    return -1;
  }
  end_ += moved;
  return moved;
}

ssize_t Journal::read_from(int fd, std::string& piece) {
  if (!path_.empty() && !file_.valid()) {
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, 0) == 0) {
      errno = EAGAIN;
      return -1;
    }
    if ((ready.revents & POLLIN) == 0) {
      return read_piece(fd, piece);  // its end
    }
  }
  if (!is_open()) {
    return read_piece(fd, piece);
  }
  if (can_move_) {
    const ssize_t moved = move_from(fd, piece);
    if (moved >= 0 || errno == EAGAIN || errno == EINTR) {
      return moved;
    }
    // A terminal, or a file system that cannot; or the disk is full.
    can_move_ = errno != EINVAL;
  }
  const ssize_t n = read_piece(fd, piece);
  if (n > 0) {
    if (::pwrite(file_.get(), piece.data(), piece.size(), end_) != n) {
      (void)!::ftruncate(file_.get(), end_ + n);
    }
    end_ += n;
  }
  return n;
}

}  // namespace thaw::sandbox::detail
