// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/plain_refusal.h"

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <string>

#include "thaw/net/detail/in_machine.h"
#include "thaw/net/detail/stream.h"

namespace thaw::net::detail {

namespace {

constexpr Duration patience = 5s;
constexpr std::string_view sentence =
    "this server speaks TLS with other machines: ask https://, or have its configuration say why "
    "not ([server] plain_because)\n";

std::string http1_refusal() {
  return "HTTP/1.1 426 Upgrade Required\r\nupgrade: TLS/1.2, HTTP/1.1\r\n"
         "connection: upgrade, close\r\ncontent-type: text/plain\r\ncontent-length: " +
         std::to_string(sentence.size()) + "\r\n\r\n" + std::string(sentence);
}

std::string http2_refusal() {
  std::string frames("\0\0\0\x04\0\0\0\0\0", 9);  // SETTINGS, none
  frames += std::string("\0\0", 2);
  frames += static_cast<char>(8 + sentence.size());  // below 256
  frames += std::string("\x07\0\0\0\0\0", 6);        // GOAWAY
  frames += std::string("\0\0\0\0\0\0\0", 7);        // no stream was looked at
  frames += static_cast<char>(NGHTTP2_INADEQUATE_SECURITY);
  return frames + std::string(sentence);
}
static_assert(8 + sentence.size() < 256);

}  // namespace

bool is_from_afar(Socket& socket) {
  sockaddr_storage peer{};
  sockaddr_storage own{};
  socklen_t peer_size = sizeof peer;
  socklen_t own_size = sizeof own;
  const int fd = socket.native_handle();
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0 ||
         ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) != 0 ||
         !(is_loopback(peer) || is_same_host(peer, own));
}

async::Task<void> refuse_plain(std::shared_ptr<ServerCore> core, Socket socket, Protocol protocol) {
  const std::shared_ptr<CoarseTimer> timer(core, &core->timer);
  const auto stream = std::make_shared<Stream>(std::move(socket), "", timer);
  stream->set_deadline(monotonic_now() + patience);
  stream->queue(protocol == Protocol::http2 ? http2_refusal() : http1_refusal());
  co_return co_await stream->linger();
}

}  // namespace thaw::net::detail
