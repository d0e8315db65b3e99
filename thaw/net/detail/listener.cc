// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "thaw/net/detail/in_machine.h"

namespace thaw::net::detail {

namespace {

constexpr int backlog = 4096;

std::uint16_t port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::string text_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text,
              sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(port_of(address));
  }
  inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(port_of(address));
}

}  // namespace

Result<BoundTcp> bind_tcp(const std::string& host, std::uint16_t port) {
  const std::string name = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) {
    return Error::invalid_argument("cannot listen on " + name + ": " + gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  os::Fd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return Error::from_errno(errno, "cannot make a socket for " + name);
  }
  const int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(fd.get(), backlog) != 0) {
    if (errno == EADDRINUSE) {
      return Error::failed_precondition("cannot listen on " + name +
                                        ": the address is in use; stop what listens there, or "
                                        "choose another port (0 picks a free one)");
    }
    return Error::from_errno(errno, "cannot listen on " + name);
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return Error::from_errno(errno, "cannot read the address of " + name);
  }
  return BoundTcp{std::move(fd), port_of(bound)};
}

Result<os::Fd> bind_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error::invalid_argument("cannot listen on " + path + ": a Unix socket's path has 1 to " +
                                   std::to_string(sizeof address.sun_path - 1) +
                                   " bytes; choose a shorter data folder");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat existing {};
  if (::lstat(path.c_str(), &existing) == 0) {
    if (!S_ISSOCK(existing.st_mode)) {
      return Error::already_exists("cannot listen on " + path + ": a file is in its place");
    }
    ::unlink(path.c_str());
  }
  os::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return Error::from_errno(errno, "cannot make a socket for " + path);
  }
  // Nobody can connect between bind and listen, so the mode is right before the first peer.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), backlog) != 0) {
    return Error::from_errno(errno, "cannot listen on " + path);
  }
  return fd;
}

Result<Accepted> accept_one(const os::Fd& listener) {
  while (true) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    os::Fd fd(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &size,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      switch (errno) {
        case EAGAIN: return Accepted{};
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case EBADF: return Error::from_errno(errno, "cannot accept a connection");
        default: continue;  // that peer has gone already
      }
    }
    Accepted accepted{std::move(fd), {}, address.ss_family};
    if (address.ss_family != AF_UNIX) {
      const int yes = 1;
      ::setsockopt(accepted.fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      if (is_loopback(address)) {
        send_unpaced(accepted.fd.get());
      }
      accepted.address = text_of(address);
    }
    return accepted;
  }
}

}  // namespace thaw::net::detail
