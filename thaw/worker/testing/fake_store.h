// SPDX-License-Identifier: Apache-2.0
//
// FakeStore: as much of an object store as a bucket's helper asks for, for tests: lists, reads,
// writes and removes objects of one bucket, and can fall silent or refuse. Threads of its own.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <cctype>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "thaw/os/fd.h"

namespace thaw::worker::testing {

class FakeStore {
 public:
  FakeStore() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    (void)::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size);
    (void)::listen(listener_.get(), 64);
    (void)::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~FakeStore() {
    is_silent = false;
    ::shutdown(listener_.get(), SHUT_RDWR);
    accepting_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const os::Fd& peer : peers_) {
        ::shutdown(peer.get(), SHUT_RDWR);
      }
    }
    for (std::thread& one : serving_) {
      one.join();
    }
  }
  FakeStore(const FakeStore&) = delete;
  FakeStore& operator=(const FakeStore&) = delete;

  std::uint16_t port() const { return port_; }
  void put(const std::string& key, const std::string& bytes) {
    const std::lock_guard lock(mutex_);
    objects_[key] = bytes;
  }
  // "(none)" if there is none.
  std::string get(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? "(none)" : found->second;
  }

  std::atomic<int> refuses_with = 0;  // a status for every request; 0: none
  std::atomic<bool> is_silent = false;

 private:
  void accept_all() {
    while (true) {
      os::Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer.valid()) {
        return;
      }
      const int number = peer.get();
      {
        const std::lock_guard lock(mutex_);
        peers_.push_back(std::move(peer));
      }
      serving_.emplace_back([this, number] { serve(number); });
    }
  }

  void serve(int peer) {
    std::string held;
    char piece[65536];
    while (true) {
      std::size_t head = 0;
      while ((head = held.find("\r\n\r\n")) == std::string::npos) {
        const ssize_t got = ::recv(peer, piece, sizeof piece, 0);
        if (got <= 0) {
          return;
        }
        held.append(piece, static_cast<std::size_t>(got));
      }
      const std::string request = held.substr(0, head + 2);
      held.erase(0, head + 4);
      const std::size_t size = std::strtoul(field(request, "content-length").c_str(), nullptr, 10);
      while (held.size() < size) {
        const ssize_t got = ::recv(peer, piece, sizeof piece, 0);
        if (got <= 0) {
          return;
        }
        held.append(piece, static_cast<std::size_t>(got));
      }
      const std::string answer = answer_to(request, held.substr(0, size));
      held.erase(0, size);
      while (is_silent) {
        std::this_thread::yield();
      }
      if (::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
        return;
      }
    }
  }

  static std::string field(const std::string& head, const std::string& name) {
    std::string lower = head;
    for (char& c : lower) {
      c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    const std::size_t at = lower.find("\r\n" + name + ": ");
    if (at == std::string::npos) {
      return {};
    }
    const std::size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }

  static std::string reply(int status, const std::string& body, const std::string& more = "",
                           std::size_t told = std::string::npos) {
    return "HTTP/1.1 " + std::to_string(status) + " x\r\ncontent-length: " +
           std::to_string(told == std::string::npos ? body.size() : told) + "\r\n" + more + "\r\n" +
           body;
  }

  static std::string parameter(const std::string& query, const std::string& name) {
    const std::size_t at = ("&" + query).find("&" + name + "=");
    if (at == std::string::npos) {
      return {};
    }
    std::string value;
    const std::string rest = query.substr(at + name.size() + 1);
    for (std::size_t i = 0; i < rest.size() && rest[i] != '&'; ++i) {
      if (rest[i] == '%' && i + 2 < rest.size()) {
        value += static_cast<char>(std::strtol(rest.substr(i + 1, 2).c_str(), nullptr, 16));
        i += 2;
      } else {
        value += rest[i];
      }
    }
    return value;
  }

  std::string list(const std::string& query) {
    const std::string prefix = parameter(query, "prefix");
    std::string body = "<ListBucketResult><IsTruncated>false</IsTruncated>";
    std::string last_folder;
    for (const auto& [key, bytes] : objects_) {
      if (!key.starts_with(prefix)) {
        continue;
      }
      const std::size_t slash = key.find('/', prefix.size());
      if (query.find("delimiter=") != std::string::npos && slash != std::string::npos) {
        const std::string folder = key.substr(0, slash + 1);
        if (folder != last_folder) {
          body += "<CommonPrefixes><Prefix>" + folder + "</Prefix></CommonPrefixes>";
        }
        last_folder = folder;
        continue;
      }
      body += "<Contents><Key>" + key + "</Key><LastModified>2026-01-01T00:00:00.000Z" +
              "</LastModified><ETag>\"x\"</ETag><Size>" + std::to_string(bytes.size()) +
              "</Size></Contents>";
    }
    return reply(200, body + "</ListBucketResult>", "content-type: application/xml\r\n");
  }

  std::string answer_to(const std::string& head, const std::string& body) {
    const std::lock_guard lock(mutex_);
    if (refuses_with != 0) {
      return reply(refuses_with, "<Error><Code>AccessDenied</Code></Error>");
    }
    const std::string method = head.substr(0, head.find(' '));
    std::string target = head.substr(method.size() + 1);
    target = target.substr(0, target.find(' '));
    const std::size_t mark = std::min(target.find('?'), target.size());
    const std::string path = target.substr(0, mark);
    const std::string query = mark < target.size() ? target.substr(mark + 1) : "";
    const std::size_t slash = path.find('/', 1);
    const std::string key = slash == std::string::npos ? "" : path.substr(slash + 1);
    const std::string told = "etag: \"x\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    if (key.empty()) {
      return list(query);
    }
    if (method == "PUT") {
      objects_[key] = body;
      return reply(200, "", told);
    }
    if (method == "DELETE") {
      objects_.erase(key);
      return reply(204, "");
    }
    const auto found = objects_.find(key);
    if (found == objects_.end()) {
      return reply(404, method == "HEAD" ? "" : "<Error><Code>NoSuchKey</Code></Error>");
    }
    return method == "HEAD" ? reply(200, "", told, found->second.size())
                            : reply(200, found->second, told);
  }

  os::Fd listener_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::string> objects_;
  std::vector<os::Fd> peers_;
  std::vector<std::thread> serving_;
  std::thread accepting_;
};

}  // namespace thaw::worker::testing
