// SPDX-License-Identifier: Apache-2.0
//
// ClientPool: connections to servers. take() finds a kept connection that is still open;
// give_back() keeps one whose answer has been read to its end. What is kept is bounded, per
// endpoint and in all, and closed when nobody wants it for a while. Loop thread only; responses
// that are still read share it.
#pragma once

#include <deque>
#include <map>

#include "thaw/net/detail/http1_parser.h"
#include "thaw/net/detail/stream.h"
#include "thaw/net/http_client.h"

namespace thaw::net::detail {

constexpr std::size_t response_head_bytes = 128u << 10;

struct ClientConnection {
  ClientConnection(std::shared_ptr<Stream> s, std::string k)
      : stream(std::move(s)), key(std::move(k)) {}
  // A reset for a server whose answer was not read to its end: it sees that at once, even behind
  // bytes that it has not read.
  ~ClientConnection() { parser.done() ? stream->close() : stream->abort(); }
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  std::shared_ptr<Stream> stream;
  Http1Parser parser{Http1Parser::Role::response, response_head_bytes};
  std::string key;
  bool reused = false;  // came out of the pool: may have gone stale on its way
};

using ClientConnectionPtr = std::unique_ptr<ClientConnection>;

class ClientPool {
 public:
  explicit ClientPool(async::Loop& loop)
      : loop_(loop), timer_(std::make_shared<CoarseTimer>(loop)) {}

  // A kept connection that is still open, or null. Where a request cannot be sent twice the kernel
  // is asked whether it is.
  enum class Check { seen, asked };
  ClientConnectionPtr take(const Endpoint& endpoint, Instant deadline, Check check);
  async::Task<ClientConnectionPtr> open(Endpoint endpoint, Instant deadline);
  // Keeps the connection if it may carry another request, else closes it.
  void give_back(ClientConnectionPtr connection);
  void forget(const Endpoint& endpoint);
  // Closes what is kept; nothing is kept from now on.
  void close();

  std::size_t exchanges = 0;  // under way
  async::Loop& loop() { return loop_; }
  CoarseTimer& timer() { return *timer_; }
  const std::shared_ptr<CoarseTimer>& shared_timer() const { return timer_; }

 private:
  // Drops what has timed out and nobody has asked for.
  void sweep();

  async::Loop& loop_;
  std::shared_ptr<CoarseTimer> timer_;
  // The connection given back last is taken first: the others may time out.
  std::map<std::string, std::deque<ClientConnectionPtr>> idle_;
  std::size_t idle_count_ = 0;
  Instant swept_at_{};
  bool closed_ = false;
};

// Reads heads until one that is not an interim answer (100, 103); 101 counts as final. False: the
// peer closed before its first byte, so the request may not have reached it.
async::Task<bool> read_final_head(ClientConnection& connection, bool head_request);

// By which connections to it are kept, for people too.
std::string name_of(const Endpoint& endpoint);

// invalid_argument: no such address; unavailable: refused; deadline_exceeded.
async::Task<Socket> connect(async::Loop& loop, CoarseTimer& timer, Endpoint endpoint,
                            Instant deadline);

}  // namespace thaw::net::detail
