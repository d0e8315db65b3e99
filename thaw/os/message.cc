// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/message.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace thaw::os {

Result<std::pair<Fd, Fd>> make_message_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return Error::from_errno(errno, "make a socket pair");
  }
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

namespace {

constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(int) * max_message_fds);

}  // namespace

Result<Transfer> send_message(int socket, std::string_view bytes, const std::vector<int>& fds) {
  if (bytes.size() > max_message_bytes || fds.size() > max_message_fds || bytes.empty()) {
    return Error::invalid_argument("a message of " + std::to_string(bytes.size()) + " bytes and " +
                                   std::to_string(fds.size()) + " descriptors cannot be sent");
  }
  alignas(cmsghdr) char control[control_bytes] = {};
  iovec body{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &body;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  while (::sendmsg(socket, &header, MSG_NOSIGNAL) < 0) {
    if (errno == EAGAIN) {
      return Transfer::later;
    }
    if (errno == EPIPE || errno == ECONNRESET) {
      return Transfer::end;
    }
    if (errno != EINTR) {
      return Error::from_errno(errno, "send a message");
    }
  }
  return Transfer::done;
}

Result<Transfer> receive_message(int socket, Message& message) {
  message.fds.clear();
  message.bytes.resize(max_message_bytes);
  alignas(cmsghdr) char control[control_bytes];
  iovec body{message.bytes.data(), message.bytes.size()};
  msghdr header{};
  header.msg_iov = &body;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size = 0;
  while ((size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno == EAGAIN) {
      return Transfer::later;
    }
    if (errno == ECONNRESET) {
      return Transfer::end;
    }
    if (errno != EINTR) {
      return Error::from_errno(errno, "receive a message");
    }
  }
  if (size == 0) {
    return Transfer::end;
  }
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
        message.fds.emplace_back(fd);
      }
    }
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    // The kernel drops those that this process has no number left for.
    return Error::unavailable(
        "a message came without its descriptors: this process has too many open files");
  }
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    return Error::data_loss("a message was cut short");
  }
  message.bytes.resize(static_cast<std::size_t>(size));
  return Transfer::done;
}

Result<Fd> make_memory_file(std::string_view bytes) {
  Fd fd(::memfd_create("thaw", MFD_CLOEXEC));
  if (!fd.valid()) {
    return Error::from_errno(errno, "make a memory file");
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n <= 0) {
      return Error::from_errno(errno, "write a memory file");
    }
    done += static_cast<std::size_t>(n);
  }
  return fd;
}

Result<std::string> read_memory_file(const Fd& fd) {
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) {
    return Error::from_errno(errno, "look at a memory file");
  }
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n =
        ::pread(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n <= 0) {
      return Error::data_loss("a memory file is shorter than it says");
    }
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

}  // namespace thaw::os
