// SPDX-License-Identifier: Apache-2.0
//
// A closed loop of HTTP/1.1 requests on some connections, for net_http_bench.py:
//   net_http_load PORT CONNECTIONS SECONDS TARGET BODY_BYTES [tls]
// With `tls` the same over TLS; no certificate is looked at, as nothing but time is measured.
// It prints {"calls": n, "seconds": s, "p50_us": …, "p99_us": …}. A request with a body is a POST.
// It shares nothing with the servers that it measures.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  int fd = -1;
  SSL* tls = nullptr;
  std::string answer;
  Clock::time_point started;
};

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

SSL* secured(int fd) {
  static SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL* tls = SSL_new(context);
  SSL_set_fd(tls, fd);
  if (SSL_connect(tls) != 1) {
    std::fprintf(stderr, "no TLS at this port\n");
    std::exit(1);
  }
  return tls;
}

ssize_t receive(Connection& connection, char* to, std::size_t room) {
  return connection.tls != nullptr ? SSL_read(connection.tls, to, static_cast<int>(room))
                                   : ::recv(connection.fd, to, room, 0);
}

bool send_request(Connection& connection, const std::string& request) {
  connection.started = Clock::now();
  if (connection.tls != nullptr) {
    return SSL_write(connection.tls, request.data(), static_cast<int>(request.size())) ==
           static_cast<int>(request.size());
  }
  return ::send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(request.size());
}

// True when a whole answer with a content-length is there.
bool whole(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  if (end == std::string::npos) {
    return false;
  }
  std::size_t length = answer.find("ontent-length: ");
  length = length == std::string::npos ? answer.find("ontent-Length: ") : length;
  if (!answer.starts_with("HTTP/1.1 200") || length == std::string::npos) {
    std::fprintf(stderr, "not the expected answer: %.200s\n", answer.c_str());
    std::exit(1);
  }
  return answer.size() >=
         end + 4 + static_cast<std::size_t>(std::atoll(answer.c_str() + length + 15));
}

double percentile(std::vector<double>& sorted, double share) {
  return sorted.empty() ? 0
                        : sorted[std::min(sorted.size() - 1,
                                          static_cast<std::size_t>(share * double(sorted.size())))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7) {
    std::fprintf(stderr, "usage: net_http_load PORT CONNECTIONS SECONDS TARGET BODY_BYTES [tls]\n");
    return 2;
  }
  const std::string body(static_cast<std::size_t>(std::atoll(argv[5])), 'x');
  const std::string request =
      std::string(body.empty() ? "GET " : "POST ") + argv[4] + " HTTP/1.1\r\nhost: 127.0.0.1\r\n" +
      "user-agent: net-bench\r\naccept: */*\r\n" +
      (body.empty() ? "" : "content-length: " + std::to_string(body.size()) + "\r\n") + "\r\n" +
      body;
  const int poll = ::epoll_create1(0);
  std::vector<Connection> connections(static_cast<std::size_t>(std::atoi(argv[2])));
  for (Connection& connection : connections) {
    connection.fd = connect_to(std::atoi(argv[1]));
    connection.tls = argc == 7 ? secured(connection.fd) : nullptr;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, connection.fd, &event);
  }
  std::vector<double> times_us;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration<double>(std::atof(argv[3]));
  for (Connection& connection : connections) {
    send_request(connection, request);
  }
  std::array<epoll_event, 64> events;
  std::array<char, 65536> buffer;
  while (Clock::now() < end) {
    const int count = ::epoll_wait(poll, events.data(), events.size(), 1000);
    for (int i = 0; i < count; ++i) {
      Connection& connection =
          *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      do {
        const ssize_t got = receive(connection, buffer.data(), buffer.size());
        if (got <= 0) {
          std::fprintf(stderr, "the server closed a connection\n");
          return 1;
        }
        connection.answer.append(buffer.data(), static_cast<std::size_t>(got));
      } while (connection.tls != nullptr && SSL_pending(connection.tls) > 0);
      if (!whole(connection.answer)) {
        continue;
      }
      connection.answer.clear();
      const std::chrono::duration<double, std::micro> taken = Clock::now() - connection.started;
      times_us.push_back(taken.count());
      if (!send_request(connection, request)) {
        return 1;
      }
    }
  }
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  std::sort(times_us.begin(), times_us.end());
  std::printf("{\"calls\": %zu, \"seconds\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
              times_us.size(), seconds.count(), percentile(times_us, 0.5),
              percentile(times_us, 0.99));
}
