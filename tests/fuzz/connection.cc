// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tests/fuzz/target.h"
#include "thaw/async/fd_ready.h"
#include "thaw/async/task_group.h"
#include "thaw/net/detail/http1_session.h"
#include "thaw/os/fd.h"

namespace thaw::fuzz {

namespace {

// False at the end of what there is to read.
bool take(int fd, std::string& out) {
  std::array<char, 64 << 10> piece;
  ssize_t count = 0;
  while ((count = ::read(fd, piece.data(), piece.size())) > 0) {
    out.append(piece.data(), static_cast<std::size_t>(count));
  }
  return count < 0 && errno == EAGAIN;
}

async::Task<void> read_all(async::FdWatch& watch, int fd, std::string& out) {
  while (take(fd, out)) {
    THAW_CO_TRY_VOID(co_await watch.readable());
  }
  co_return ok();
}

}  // namespace

std::string serve_connection(std::string_view at_once, std::string_view rest,
                             const net::HttpHandler& handler, std::size_t header_bytes) {
  int ends[2];
  expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
         "there are sockets");
  const os::Fd peer_end(ends[1]);
  std::string answers;
  async::Loop loop;
  net::ServerLimits limits;
  limits.header_bytes = header_bytes;
  const auto core = std::make_shared<net::detail::ServerCore>(loop, limits);
  net::detail::Socket socket(loop.context().get_executor());
  socket.assign(boost::asio::generic::stream_protocol(AF_UNIX, 0), ends[0]);
  expect(::write(peer_end.get(), rest.data(), rest.size()) == static_cast<ssize_t>(rest.size()),
         "a socket takes the input whole");
  ::shutdown(peer_end.get(), SHUT_WR);
  auto watch = async::FdWatch::make(loop, peer_end.get());
  expect(watch.has_value(), "a socket can be waited for");
  async::TaskGroup tasks(loop);
  tasks.start("the peer", read_all(*watch, peer_end.get(), answers));
  {
    net::Peer peer;
    peer.transport = net::Peer::Transport::unix_socket;
    net::detail::LiveConnection* place = nullptr;
    net::detail::Http1Connection connection{
        std::move(socket),
        std::string(at_once),
        std::move(peer),
        &handler,
        core,
        core->shares->account(net::detail::Shares::Kind::peer, "the fuzzer"),
        monotonic_now(),
        &place};
    if (const auto ended = loop.run_task(net::detail::run_http1(std::move(connection))); !ended) {
      expect_sentence(ended.error());
    }
    expect(place == nullptr, "a connection that has ended is not in its place any more");
  }
  (void)loop.run_task(tasks.stop());
  expect(!take(peer_end.get(), answers), "the connection is closed at its end");
  expect(core->shares->used() == 0, "what was held for a connection is given back");
  return answers;
}

}  // namespace thaw::fuzz
