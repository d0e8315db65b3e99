// SPDX-License-Identifier: Apache-2.0
//
// LittleServer: listens on a port of loopback that nobody has, and does on each connection what a
// test says, also what no good server does. One connection after the other, on a thread of its
// own.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/os/fd.h"

namespace thaw::worker::testing {

class LittleServer {
 public:
  // What it does with its n-th connection, from 1; the connection is closed behind it.
  using Does = std::function<void(int connection, int n)>;

  explicit LittleServer(Does does) : does_(std::move(does)) {
    listener_ = os::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* address = reinterpret_cast<sockaddr*>(&here);
    THAW_CHECK(::bind(listener_.get(), address, sizeof here) == 0);
    socklen_t size = sizeof here;
    THAW_CHECK(::getsockname(listener_.get(), address, &size) == 0);
    port_ = ntohs(here.sin_port);
  }
  ~LittleServer() {
    is_over_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (const int one = connection_.load(); one >= 0) {
      ::shutdown(one, SHUT_RDWR);
    }
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  LittleServer(const LittleServer&) = delete;
  LittleServer& operator=(const LittleServer&) = delete;

  void listen() {
    THAW_CHECK(::listen(listener_.get(), 16) == 0);
    thread_ = std::thread([this] { accept_all(); });
  }
  std::uint16_t port() const { return port_; }
  int connections() const { return count_; }

  // For what it does: waits for the head of a request, and says something.
  static std::string hear(int connection) {
    std::string head;
    char bytes[4096];
    while (head.find("\r\n\r\n") == head.npos) {
      const ssize_t n = ::recv(connection, bytes, sizeof bytes, 0);
      if (n <= 0) {
        break;
      }
      head.append(bytes, static_cast<std::size_t>(n));
    }
    return head;
  }
  static bool say(int connection, const std::string& bytes) {
    return ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  static void answer(int connection, int status, const std::string& body) {
    (void)hear(connection);
    (void)say(connection, "HTTP/1.1 " + std::to_string(status) +
                              " x\r\nconnection: close\r\ncontent-length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  // Until the peer leaves.
  static void wait(int connection) {
    char bytes[4096];
    while (::recv(connection, bytes, sizeof bytes, 0) > 0) {
    }
  }

 private:
  void accept_all() {
    while (!is_over_) {
      const os::Fd one(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!one.valid()) {
        return;
      }
      connection_ = one.get();
      if (!is_over_) {
        does_(one.get(), ++count_);
      }
      connection_ = -1;
    }
  }

  Does does_;
  os::Fd listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> is_over_ = false;
  std::atomic<int> connection_ = -1;
  std::atomic<int> count_ = 0;
  std::thread thread_;
};

}  // namespace thaw::worker::testing
