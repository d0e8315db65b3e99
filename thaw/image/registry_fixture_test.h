// SPDX-License-Identifier: Apache-2.0
//
// FakeRegistry: a registry on loopback that serves what a test puts into it, and misbehaves as the
// test says. One thread, one connection after the other.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/image/image_manifest.h"
#include "thaw/image/tar_fixture_test.h"

namespace thaw::image {

class FakeRegistry {
 public:
  struct Request {
    std::string path;
    std::string head;  // all of it

    // Of a header, by its lower-case name; empty if it has none.
    std::string header(const std::string& name) const {
      std::string lower;
      for (const char c : head) {
        lower.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
      }
      const auto at = lower.find("\r\n" + name + ": ");
      if (at == std::string::npos) {
        return "";
      }
      const auto begin = at + name.size() + 4;
      return head.substr(begin, head.find("\r\n", begin) - begin);
    }
  };
  // Answers by itself; false: the registry is to answer.
  using Special = std::function<bool(int connection, const Request& request)>;

  explicit FakeRegistry(Special special = {}) : special_(std::move(special)) {
    std::signal(SIGPIPE, SIG_IGN);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 64) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeRegistry() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  FakeRegistry(const FakeRegistry&) = delete;
  FakeRegistry& operator=(const FakeRegistry&) = delete;

  std::string host() const { return "127.0.0.1:" + std::to_string(port); }
  std::string origin() const { return "http://" + host(); }

  // Returns its digest.
  std::string put_blob(const std::string& bytes) {
    const std::string digest = sha256_of(bytes);
    const std::lock_guard lock(mutex_);
    blobs_[digest] = bytes;
    return digest;
  }
  std::string put_manifest(const std::string& tag, const codec::Json& manifest) {
    const std::string text = manifest.dump();
    const std::string digest = sha256_of(text);
    const std::lock_guard lock(mutex_);
    manifests_[digest] = text;
    if (!tag.empty()) {
      manifests_[tag] = text;
    }
    return digest;
  }
  static codec::Json descriptor(const std::string& digest, std::uint64_t size) {
    return {{"digest", digest}, {"size", size}};
  }
  // An image of these layers (tar streams), stored by "gzip", "zstd" or as they are (""). Returns
  // the manifest's digest.
  std::string put_image(const std::string& tag, const std::vector<std::string>& tars,
                        const std::string& filter = "gzip",
                        const codec::Json& settings = codec::Json::object()) {
    codec::Json layers = codec::Json::array();
    codec::Json ids = codec::Json::array();
    for (const std::string& tar : tars) {
      const std::string stored = filter.empty() ? tar : compressed(tar, filter);
      layers.push_back(descriptor(put_blob(stored), stored.size()));
      ids.push_back(sha256_of(tar));
    }
    const std::string config = codec::Json{{"architecture", Platform::own().architecture},
                                           {"os", "linux"},
                                           {"config", settings},
                                           {"rootfs", {{"type", "layers"}, {"diff_ids", ids}}}}
                                   .dump();
    return put_manifest(tag, {{"schemaVersion", 2},
                              {"config", descriptor(put_blob(config), config.size())},
                              {"layers", layers}});
  }

  int count(const std::string& part) {
    const std::lock_guard lock(mutex_);
    int found = 0;
    for (const Request& request : requests_) {
      found += request.path.find(part) != std::string::npos ? 1 : 0;
    }
    return found;
  }
  std::vector<Request> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  static void say(int connection, std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) {
        return;
      }
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  static void answer(int connection, const std::string& status, const std::string& body,
                     const std::string& headers = "") {
    say(connection, "HTTP/1.1 " + status + "\r\n" + headers + "Content-Length: " +
                        std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body);
  }
  static void redirect(int connection, const std::string& to) {
    answer(connection, "307 Temporary Redirect", "", "Location: " + to + "\r\n");
  }

  std::uint16_t port = 0;

 private:
  void serve() {
    while (true) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) {
        return;
      }
      Request request;
      char buffer[4096];
      while (request.head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
        if (count <= 0) {
          break;
        }
        request.head.append(buffer, static_cast<std::size_t>(count));
      }
      const auto begin = request.head.find(' ') + 1;
      request.path = request.head.substr(begin, request.head.find(' ', begin) - begin);
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      if (!special_ || !special_(connection, request)) {
        serve_one(connection, request);
      }
      ::close(connection);
    }
  }

  void serve_one(int connection, const Request& request) {
    const std::string name = request.path.substr(request.path.rfind('/') + 1);
    std::string body;
    {
      const std::lock_guard lock(mutex_);
      const auto& from = request.path.find("/blobs/") != std::string::npos ? blobs_ : manifests_;
      const auto found = from.find(name);
      if (found == from.end()) {
        answer(connection, "404 Not Found",
               "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}");
        return;
      }
      body = found->second;
    }
    const std::string range = request.header("range");
    if (range.empty()) {
      answer(connection, "200 OK", body);
      return;
    }
    const std::size_t from = std::stoul(range.substr(6));
    answer(connection, "206 Partial Content", body.substr(from),
           "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(body.size() - 1) +
               "/" + std::to_string(body.size()) + "\r\n");
  }

  Special special_;
  int listener_ = -1;
  std::mutex mutex_;
  std::map<std::string, std::string> blobs_;
  std::map<std::string, std::string> manifests_;  // by tag and by digest
  std::vector<Request> requests_;
  std::thread thread_;
};

}  // namespace thaw::image
