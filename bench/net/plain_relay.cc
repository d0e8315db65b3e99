// SPDX-License-Identifier: Apache-2.0
//
// The floor of what a process between a client and a server costs: it copies bytes both ways, looks
// at none of them, and serves one connection after the other. plain_relay ADDRESS PORT prints its
// own port and runs until its stdin ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

int fail(const char* what) {
  std::perror(what);
  return 1;
}

// False at the end of the source.
bool copy(int from, int to) {
  static char buffer[64 * 1024];
  const ssize_t n = ::recv(from, buffer, sizeof buffer, 0);
  for (ssize_t done = 0; done < n;) {
    const ssize_t sent =
        ::send(to, buffer + done, static_cast<std::size_t>(n - done), MSG_NOSIGNAL);
    if (sent < 0) {
      return false;
    }
    done += sent;
  }
  return n > 0;
}

// False when stdin has ended.
bool relay(int client, int server) {
  while (true) {
    pollfd watched[] = {{client, POLLIN, 0}, {server, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    ::poll(watched, 3, -1);
    if (watched[2].revents != 0) {
      return false;
    }
    if ((watched[0].revents != 0 && !copy(client, server)) ||
        (watched[1].revents != 0 && !copy(server, client))) {
      return true;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("plain_relay ADDRESS PORT\n", stderr);
    return 2;
  }
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[2])));
  if (::inet_pton(AF_INET, argv[1], &target.sin_addr) != 1) {
    std::fputs("not an IPv4 address\n", stderr);
    return 2;
  }
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&own), size) != 0 ||
      ::listen(listener, 8) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return fail("listen");
  }
  std::printf("port %u\n", static_cast<unsigned>(ntohs(own.sin_port)));
  std::fflush(stdout);
  const int on = 1;
  while (true) {
    pollfd watched[] = {{listener, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    ::poll(watched, 2, -1);
    if (watched[1].revents != 0) {
      return 0;
    }
    const int client = ::accept(listener, nullptr, nullptr);
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(server, reinterpret_cast<sockaddr*>(&target), sizeof target) != 0) {
      return fail("connect");
    }
    const bool goes_on = relay(client, server);
    ::close(client);
    ::close(server);
    if (!goes_on) {
      return 0;
    }
  }
}
