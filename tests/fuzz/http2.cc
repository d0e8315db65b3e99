// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an HTTP/2 connection: the session, its streams, the message framing and the method
// table, to the end of the connection. What was held for it is given back then. An odd first byte
// puts the client's preface in front, so that the fuzzer need not find it.
#include <google/protobuf/wrappers.pb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "tests/fuzz/target.h"
#include "thaw/net/detail/http2_session.h"

namespace thaw::fuzz {

namespace {

using google::protobuf::BytesValue;

async::Task<BytesValue> echo(net::GrpcCall& call, BytesValue ask) {
  call.add_trailer("x-seen", "yes");
  co_return ask;
}

async::Task<void> chat(net::GrpcCall&, net::Source<BytesValue> in, net::Sink<BytesValue> out) {
  while (true) {
    THAW_CO_TRY(const std::optional<BytesValue> item, co_await in.next());
    if (!item) {
      co_return ok();
    }
    THAW_CO_TRY_VOID(co_await out.write(*item));
  }
}

async::Task<void> serve_http(net::HttpExchange& exchange) {
  THAW_CO_TRY(std::string body, co_await exchange.read_all(1 << 16));
  co_return co_await exchange.answer(200, "text/plain", std::move(body));
}

const net::GrpcTable& table() {
  static const net::GrpcTable made = [] {
    net::GrpcTable filled;
    filled.unary<BytesValue, BytesValue>("/u", echo);
    filled.bidi_stream<BytesValue, BytesValue>("/b", chat);
    return filled;
  }();
  return made;
}

}  // namespace

void run(std::string_view input) {
  if (input.empty()) {
    return;
  }
  int ends[2];
  expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
         "there are sockets");
  std::string bytes(input.substr(1, most_input_bytes));
  if ((input[0] & 1) != 0) {
    bytes.insert(0, std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33));
  }
  // Half at once, as the sniffing hands it over, half through the socket.
  const std::size_t half = bytes.size() / 2;
  [[maybe_unused]] const auto sent = ::write(ends[1], bytes.data() + half, bytes.size() - half);
  ::shutdown(ends[1], SHUT_WR);

  async::Loop loop;
  net::ServerLimits limits;
  limits.streams_per_connection = 20;
  const auto core = std::make_shared<net::detail::ServerCore>(loop, limits);
  const auto service =
      std::make_shared<const net::detail::Service>(net::detail::Service{&table(), serve_http});
  net::detail::Socket socket(loop.context().get_executor());
  socket.assign(boost::asio::generic::stream_protocol(AF_UNIX, 0), ends[0]);
  net::Peer peer;
  peer.transport = net::Peer::Transport::unix_socket;
  {
    net::detail::Http2Session session(
        std::move(socket), std::move(peer), service, core,
        core->shares->account(net::detail::Shares::Kind::peer, "the fuzzer"));
    if (const auto ended = loop.run_task(session.run(bytes.substr(0, half))); !ended) {
      expect_sentence(ended.error());
    }
  }
  ::close(ends[1]);
  expect(core->shares->used() == 0, "what was held for a connection is given back");
}

}  // namespace thaw::fuzz
