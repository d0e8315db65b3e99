// SPDX-License-Identifier: Apache-2.0
//
// What the tests of TLS share: certificates in a folder, and a client that blocks, on OpenSSL's own
// calls, so that what it sees is not what this module believes.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "thaw/net/server.h"
#include "thaw/net/tls_authority.h"
#include "thaw/os/fd.h"

namespace thaw::net::testing {

inline Validity a_day() { return {wall_now() - 1h, wall_now() + 24h}; }

// An authority, and certificates of it as files.
class Certificates {
 public:
  Certificates() {
    char path[] = "/tmp/thaw-tls-XXXXXX";
    folder = ::mkdtemp(path);
    auto made = make_authority("tests", a_day());
    REQUIRE(made);
    authority = std::move(*made);
    write("ca.pem", authority.certificate);
  }
  ~Certificates() { std::filesystem::remove_all(folder); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  void write(const std::string& file, const std::string& text) const {
    std::ofstream(folder + "/" + file, std::ios::binary) << text;
  }
  TlsFiles make(const std::string& file, const std::vector<std::string>& names,
                Validity validity = a_day()) const {
    const auto made = make_server_certificate(authority, names, validity);
    REQUIRE(made);
    write(file + ".pem", made->certificate);
    write(file + ".key", made->key);
    return {folder + "/" + file + ".pem", folder + "/" + file + ".key", {}};
  }
  std::shared_ptr<const TlsIdentities> read(const std::vector<TlsFiles>& files) const {
    auto read = TlsIdentities::read(files, wall_now());
    REQUIRE_MESSAGE(read, read.error().message());
    return *read;
  }

  std::string folder;
  PemPair authority;
};

inline os::Fd connect_from(const std::string& source, std::uint16_t port) {
  os::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in from{};
  from.sin_family = AF_INET;
  ::inet_pton(AF_INET, source.c_str(), &from.sin_addr);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&from), sizeof from) == 0);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  const timeval patience{20, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

struct ClientWishes {
  std::string name = "localhost";
  std::string protocols = {};  // of ALPN, on the wire
  int lowest = TLS1_2_VERSION;
  int highest = TLS1_3_VERSION;
  std::string source = "127.0.0.1";
};

// Blocks: on a thread of its own, while the server's loop runs.
class TlsClient {
 public:
  TlsClient(std::uint16_t port, const std::string& authority_file, const ClientWishes& wishes)
      : fd_(connect_from(wishes.source, port)) {
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_cipher_list(context_, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context_, wishes.lowest);
    SSL_CTX_set_max_proto_version(context_, wishes.highest);
    SSL_CTX_load_verify_locations(context_, authority_file.c_str(), nullptr);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_.get());
    SSL_set_tlsext_host_name(ssl_, wishes.name.c_str());
    SSL_set1_host(ssl_, wishes.name.c_str());
    if (!wishes.protocols.empty()) {
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wishes.protocols.data()),
                          static_cast<unsigned>(wishes.protocols.size()));
    }
    is_open = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    ERR_clear_error();
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  std::string protocol() const {
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &chosen, &size);
    return {reinterpret_cast<const char*>(chosen), size};
  }
  std::string version() const { return SSL_get_version(ssl_); }
  bool say(std::string_view bytes) {
    std::size_t sent = 0;
    return bytes.empty() || SSL_write_ex(ssl_, bytes.data(), bytes.size(), &sent) == 1;
  }
  // It asks for the peer's new one, too.
  bool change_key() {
    return SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl_) == 1;
  }
  void finish() { SSL_shutdown(ssl_); }
  // Until `size` bytes are there, or the end.
  std::string hear(std::size_t size) {
    std::string got;
    std::string piece(64u << 10, '\0');
    while (got.size() < size) {
      std::size_t count = 0;
      if (SSL_read_ex(ssl_, piece.data(), std::min(piece.size(), size - got.size()), &count) != 1) {
        break;
      }
      got.append(piece, 0, count);
    }
    return got;
  }
  // A whole answer with a content-length.
  std::string answer() {
    std::string got;
    while (!got.ends_with("\r\n\r\n")) {
      const std::string one = hear(1);
      if (one.empty()) {
        return got;
      }
      got += one;
    }
    const std::size_t at = got.find("content-length: ");
    const std::size_t length =
        at == std::string::npos ? 0 : std::stoul(got.substr(at + std::strlen("content-length: ")));
    return got + hear(length);
  }
  // The peer has said goodbye, and did not just go away.
  bool was_told_of_the_end() {
    std::size_t count = 0;
    char byte = 0;
    const int outcome = SSL_read_ex(ssl_, &byte, 1, &count);
    return SSL_get_error(ssl_, outcome) == SSL_ERROR_ZERO_RETURN;
  }
  int descriptor() const { return fd_.get(); }

  bool is_open = false;

 private:
  os::Fd fd_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
};

// A server with TLS, and clients beside it.
class TlsHouse {
 public:
  explicit TlsHouse(HttpHandler handler, ServerLimits limits = {})
      : server(loop, table, std::move(handler), limits) {
    std::signal(SIGPIPE, SIG_IGN);  // of the clients
    auto bound = server.listen_tcp("127.0.0.1", 0);
    REQUIRE(bound);
    port = *bound;
  }
  ~TlsHouse() { (void)loop.run_task(server.drain(monotonic_now())); }

  // `client` runs on a thread of its own until it is done, while the loop turns.
  void beside(const std::function<void()>& client) {
    std::atomic<bool> is_done = false;
    std::thread thread([&] {
      client();
      is_done = true;
    });
    while (!is_done) {
      (void)loop.run_task(async::sleep_for(1ms));
    }
    thread.join();
  }
  // Turns the loop until it holds.
  bool until(const std::function<bool()>& holds) {
    const Instant latest = monotonic_now() + 20s;
    while (!holds() && monotonic_now() < latest) {
      (void)loop.run_task(async::sleep_for(1ms));
    }
    return holds();
  }

  async::Loop loop;
  GrpcTable table;
  Server server;
  Certificates certificates;
  std::uint16_t port = 0;
};

}  // namespace thaw::net::testing
