// SPDX-License-Identifier: Apache-2.0
//
// Server: the one port. It accepts on TCP, on Unix sockets made at run time (one per container, one
// for administration) and on doors (listening sockets in containers' networks), sniffs what it
// is given: TLS begins with 0x16, which nothing else does, and what is inside it is sniffed again;
// the HTTP/2 preface against HTTP/1.1. gRPC requests (content-type application/grpc*) go to the
// method table and everything else to the HTTP handler. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/net/grpc.h"
#include "thaw/net/http.h"
#include "thaw/net/tls.h"
#include "thaw/os/fd.h"

namespace thaw::net {

struct ServerLimits {
  std::size_t grpc_message_bytes = 100u << 20;
  // Unsent bytes that one connection may hold in memory before its writers wait.
  std::size_t connection_buffer_bytes = 4u << 20;
  // What GrpcCall::reserve_reply hands out at a time to the calls of one connection.
  std::size_t connection_reply_bytes = 112u << 20;
  // Unread bytes of requests beyond which a connection's peer must stop sending.
  std::size_t connection_unread_bytes = 64u << 20;
  std::size_t header_bytes = 64u << 10;
  // Of all connections together, for what peers have sent or not taken yet. One owner (whom a token
  // or a container stands for) has at most a half of it, one address or container a quarter.
  std::size_t buffer_bytes = 512u << 20;
  std::size_t connections = 20'000;
  // Of one address without a token, of one container; an owner has at most a half of all.
  std::size_t connections_per_address = 2'000;
  std::size_t connections_per_container = 500;
  std::size_t connections_per_door = 64;
  std::uint32_t streams_per_connection = 10'000;
  std::uint32_t streams_per_container = 2'000;
  std::uint32_t streams_without_token = 500;  // of one connection
  Duration idle_ping = 30s;  // HTTP/2 PING to a silent peer; no answer in time closes it
  Duration ping_timeout = 20s;
  Duration http1_idle = 75s;  // keep-alive between requests
  // Of TLS, under way: in all, and of one address (an IPv6 network of 64 bits is one).
  std::size_t handshakes = 512;
  std::size_t handshakes_per_address = 64;
  Duration handshake_timeout = 10s;
  Duration header_timeout = 15s;  // from first byte (or connect) to a whole head
  // How long a large message waits for room in its account before it is refused.
  Duration room_timeout = 30s;
};

// The same for a process that may have so many descriptors and so much memory: peers get a part.
ServerLimits within(ServerLimits limits, std::uint64_t descriptors, std::uint64_t memory_bytes);

class Server {
 public:
  // `table` and `handler` outlive the server.
  Server(async::Loop& loop, const GrpcTable& table, HttpHandler handler, ServerLimits limits);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Between the two, whoever connects to what is listened on waits; it is served from begin() on.
  // So a port can be taken before there is anybody to answer.
  void hold();
  void begin();
  // Port 0 picks a free one; returns the bound port. failed_precondition (naming the address) when
  // it is in use. Only HTTP is served if `http_only` is given (the bridge's blob port).
  Result<std::uint16_t> listen_tcp(const std::string& host, std::uint16_t port);
  Result<std::uint16_t> listen_http_only(const std::string& host, std::uint16_t port,
                                         HttpHandler handler);
  // From now on who begins with TLS on one of the TCP ports is shown these; connections that are
  // open keep theirs. Before the first call TLS is not understood.
  void speak_tls(std::shared_ptr<const TlsIdentities> identities);
  std::shared_ptr<const TlsIdentities> tls_identities() const;
  // From now on other machines are refused at the ports of listen_tcp() where they ask in plain
  // words, without a look at what they say.
  void ask_for_tls();
  // Makes the socket file with mode 0600 (replacing a stale one); peers on it have `identity`.
  Result<void> listen_unix(const std::string& path, const std::string& identity);
  // `listening` is a TCP socket that somebody else has bound, where only one container can reach
  // it: whoever connects has `identity`, whatever its address. HTTP/1.1 and nothing else; what its
  // connections hold counts to `whose`. No clock runs on them, as who polls may be frozen.
  Result<void> listen_door(os::Fd listening, const std::string& identity, Admission whose);
  // Stops accepting, closes the connections of that identity (their handlers are cancelled) and
  // removes the file.
  void close_identity(const std::string& identity);

  // What is under way on the connections of one identity.
  struct Traffic {
    std::size_t connections = 0;  // that the peer has not closed, as far as is known here
    std::size_t exchanges = 0;    // requests that are not answered wholly
    // quiet: neither side has sent what the other has not read, here or in the kernel, and each
    // exchange waits for its answer. A new connection counts as in flight. Of a door the kernel's
    // queue of the other end is not seen from here.
    enum class Wire { quiet, in_flight } wire = Wire::quiet;
  };
  Traffic traffic(const std::string& identity) const;

  // GOAWAY to HTTP/2 peers, `connection: close` to HTTP/1.1; waits for running exchanges until
  // `deadline`, then cancels them. No new connection is accepted from the call on.
  async::Task<void> drain(Instant deadline);

  struct Stats {
    std::uint64_t connections_open = 0;
    std::uint64_t grpc_calls = 0;
    std::uint64_t http_requests = 0;
    std::uint64_t handshakes_open = 0;  // that have a place
    std::uint64_t handshakes_done = 0;
    std::uint64_t handshakes_failed = 0;  // refused, broken off, too slow, or in the way of others
  };
  Stats stats() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace thaw::net
