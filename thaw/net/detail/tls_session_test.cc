// SPDX-License-Identifier: Apache-2.0
//
// What a peer may make one call do. The client is OpenSSL's, but for records that it would never
// send, which are made here with its keys.
#include "thaw/net/detail/tls_session.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "thaw/net/tls_fixture_test.h"

using namespace thaw;
using namespace thaw::net;
using namespace thaw::net::testing;
using detail::TlsSession;

namespace {

constexpr unsigned char data_record = 23;
constexpr unsigned char handshake_record = 22;

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// HKDF-Expand-Label of TLS 1.3 for at most one round of SHA-256, without a context.
std::string expand(const std::string& secret, const std::string& label, std::size_t size) {
  const std::string full = "tls13 " + label;
  std::string info(1, '\0');
  info += static_cast<char>(size);
  info += static_cast<char>(full.size());
  info += full;
  info += '\0';
  info += '\x01';
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned out_size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(info.data()), info.size(), out, &out_size);
  return {reinterpret_cast<const char*>(out), size};
}

// Both ends of a connection of TLS 1.3 on this thread.
class Pair {
 public:
  Pair() {
    files = certificates.make("own", {"localhost"});
    const os::Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listening.get(), 1) == 0);
    REQUIRE(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    near = connect_from("127.0.0.1", ntohs(address.sin_port));
    far = os::Fd(::accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(far.valid());
    ::fcntl(near.get(), F_SETFL, O_NONBLOCK);
    session = std::make_unique<TlsSession>(certificates.read({files}), far.get());
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_keylog_callback(context, [](const SSL* ssl, const char* line) {
      const std::string text(line);
      if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) {
        static_cast<Pair*>(SSL_get_ex_data(ssl, 0))->secret =
            bytes_of_hex(text.substr(text.rfind(' ') + 1));
      }
    });
    client = SSL_new(context);
    SSL_set_ex_data(client, 0, this);
    SSL_set_fd(client, near.get());
    bool is_done = false;
    for (int i = 0; i < 1'000 && !is_done; ++i) {
      const bool is_connected = SSL_connect(client) == 1;
      const auto step = session->shake_hands();
      REQUIRE(step != TlsSession::Step::failed);
      is_done = is_connected && step == TlsSession::Step::done;
    }
    REQUIRE(is_done);
  }
  ~Pair() {
    SSL_free(client);
    SSL_CTX_free(context);
    ERR_clear_error();
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  void say(std::string_view text) {
    std::size_t sent = 0;
    REQUIRE(SSL_write_ex(client, text.data(), text.size(), &sent) == 1);
  }
  // One that asks for another of the server's.
  bool change_key() {
    return SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(client) == 1;
  }
  // A record as the client would encrypt it; from the first on only these.
  std::string record(unsigned char type, const std::string& text) {
    const std::string key = expand(secret, "key", 16);
    std::string nonce = expand(secret, "iv", 12);
    nonce.back() = static_cast<char>(nonce.back() ^ static_cast<char>(made++));
    const std::string inner = text + static_cast<char>(type);
    const std::size_t size = inner.size() + 16;
    std::string out("\x17\x03\x03", 3);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size & 0xff);
    std::string sealed(inner.size(), '\0');
    std::string tag(16, '\0');
    const auto raw = [](std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); };
    EVP_CIPHER_CTX* cipher = EVP_CIPHER_CTX_new();
    std::string plain = inner;
    std::string key_bytes = key;
    int count = 0;
    EVP_EncryptInit_ex(cipher, EVP_aes_128_gcm(), nullptr, raw(key_bytes), raw(nonce));
    EVP_EncryptUpdate(cipher, nullptr, &count, raw(out), 5);
    EVP_EncryptUpdate(cipher, raw(sealed), &count, raw(plain), static_cast<int>(plain.size()));
    EVP_EncryptFinal_ex(cipher, raw(sealed) + count, &count);
    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, 16, tag.data());
    EVP_CIPHER_CTX_free(cipher);
    return out + sealed + tag;
  }
  void say_raw(const std::string& bytes) {
    REQUIRE(::send(near.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  // Until this much has come in the kernel.
  void arrived(int bytes) {
    int unread = 0;
    for (int i = 0; i < 1'000'000 && unread < bytes; ++i) {
      REQUIRE(::ioctl(far.get(), FIONREAD, &unread) == 0);
    }
    REQUIRE(unread >= bytes);
  }
  ssize_t receive() { return session->receive(room.data(), room.size()); }
  // Once something has come, which may take a moment on loopback, too.
  ssize_t receive_next() {
    pollfd next{far.get(), POLLIN, 0};
    REQUIRE(::poll(&next, 1, 20'000) == 1);
    return receive();
  }
  // Until there is data, or the end.
  ssize_t receive_data() {
    ssize_t count = receive();
    while (count < 0 && errno == EAGAIN) {
      count = receive_next();
    }
    return count;
  }

  Certificates certificates;
  TlsFiles files;
  os::Fd near;
  os::Fd far;
  std::unique_ptr<TlsSession> session;
  SSL_CTX* context = nullptr;
  SSL* client = nullptr;
  std::string secret;
  unsigned char made = 0;
  std::string room = std::string(64u << 10, '\0');
};

}  // namespace

TEST_CASE("records of one byte are taken a few at a time, and none is lost") {
  Pair pair;
  constexpr int many = 1'000;
  for (int i = 0; i < many; ++i) {
    pair.say("x");
  }
  pair.arrived(many * 23);
  int got = 0;
  int calls = 0;
  while (got < many) {
    CHECK(pair.session->knows_more());
    const ssize_t count = pair.receive();
    REQUIRE(count > 0);
    CHECK(count <= 32);
    got += static_cast<int>(count);
    ++calls;
  }
  CHECK(calls > many / 32);
  CHECK(got == many);
  CHECK(pair.receive() == -1);
  CHECK(errno == EAGAIN);
  CHECK_FALSE(pair.session->knows_more());
}

TEST_CASE("full records fill the reader's buffer in one call") {
  Pair pair;
  pair.say(std::string(16u << 10, 'x'));
  pair.say(std::string(16u << 10, 'y'));
  pair.arrived(32 << 10);
  CHECK(pair.receive() == 32 << 10);
}

TEST_CASE("new keys now and then are what TLS has them for") {
  Pair pair;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(pair.change_key());
    pair.say("x");
    CHECK(pair.receive_data() == 1);
  }
  // And more of them where much is sent.
  const std::string piece(16u << 10, 'x');
  for (int i = 0; i < 100; ++i) {
    for (int j = 0; j < 4; ++j) {
      pair.say(piece);
      REQUIRE(pair.receive_data() == static_cast<ssize_t>(piece.size()));
    }
    REQUIRE(pair.change_key());
  }
  pair.say("end");
  CHECK(pair.receive_data() == 3);
  CHECK(pair.session->send("answer", 6) == 6);
}

TEST_CASE("who changes keys all the time is broken off") {
  for (const bool has_data_between : {false, true}) {
    CAPTURE(has_data_between);
    Pair pair;
    ssize_t count = 0;
    int changed = 0;
    for (; changed < 1'000 && count >= 0; ++changed) {
      REQUIRE(pair.change_key());
      if (has_data_between) {
        pair.say("x");
      }
      count = pair.receive_next();
      count = count < 0 && errno == EAGAIN ? 0 : count;
    }
    CHECK(changed < 50);
    CHECK(pair.receive() == -1);
    CHECK(errno == ECONNRESET);
    CHECK(pair.session->send("answer", 6) == -1);
    CHECK(errno == EPIPE);
  }
}

TEST_CASE("many new keys in one piece cost no more than a few") {
  Pair pair;
  for (int i = 0; i < 500; ++i) {
    REQUIRE(pair.change_key());
  }
  pair.say("behind them");
  pair.arrived(500 * 27);
  CHECK(pair.receive() == -1);
  CHECK(errno == ECONNRESET);
  // Each that is worked on is answered: what came back tells how many were.
  int back = 0;
  REQUIRE(::ioctl(pair.near.get(), FIONREAD, &back) == 0);
  CHECK(back < 50 * 27 + 1'000);
}

TEST_CASE(
    "who begins a message of TLS's own and keeps the rest gets no answer, and holds nobody up") {
  Pair pair;
  const std::string begun("\x18\x00\x00\x01", 4);  // new keys, without which
  pair.say_raw(pair.record(data_record, "GET /") + pair.record(handshake_record, begun));
  pair.arrived(5 + 5 + 17);
  ssize_t count = pair.receive();
  CHECK(count == 5);
  CHECK(pair.room.starts_with("GET /"));
  CHECK(pair.receive() == -1);
  CHECK(errno == EAGAIN);
  CHECK(pair.session->send("answer", 6) == -1);
  CHECK(errno == EPIPE);
}
