// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/first_bytes.h"

#include <sys/ioctl.h>

#include "thaw/net/tls_fixture_test.h"

using namespace thaw;
using namespace thaw::net;
using namespace thaw::net::testing;

namespace {

async::Task<void> tell(detail::Newcomer newcomer, detail::Socket& socket, Peer& peer,
                       std::string& read) {
  const auto told = co_await detail::tell_protocol(std::move(newcomer), socket, peer, read);
  co_return told ? ok() : Result<void>(told.error());
}

}  // namespace

TEST_CASE("who waits for a handshake has its bytes in the kernel, and none here") {
  async::Loop loop;
  Certificates certificates;
  ServerLimits limits;
  limits.handshakes_per_address = 0;  // all wait
  limits.handshake_timeout = 100ms;
  const auto core = std::make_shared<detail::ServerCore>(loop, limits);
  core->tls = certificates.read({certificates.make("own", {"localhost"})});
  const os::Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listening.get(), 1) == 0);
  REQUIRE(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const os::Fd peer = connect_from("127.0.0.1", ntohs(address.sin_port));
  detail::Socket socket(loop.context().get_executor());
  const int accepted = ::accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  socket.assign(boost::asio::generic::stream_protocol(AF_INET, 0), accepted);
  const std::string sent = "\x16\x03\x01" + std::string(20'000, 'x');
  REQUIRE(::send(peer.get(), sent.data(), sent.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(sent.size()));

  const auto account = core->shares->account(detail::Shares::Kind::peer, "address 127.0.0.1");
  Peer whose{Peer::Transport::tcp, "127.0.0.1:1", ""};
  std::string read;
  const auto told = loop.run_task(tell({core, account, monotonic_now()}, socket, whose, read));
  REQUIRE_FALSE(told);
  CHECK(told.error().message().find("too many handshakes") != std::string::npos);
  int unread = 0;
  REQUIRE(::ioctl(accepted, FIONREAD, &unread) == 0);
  CHECK(static_cast<std::size_t>(unread) == sent.size());
  CHECK(read.empty());
  CHECK(account->used() == 0);
}
