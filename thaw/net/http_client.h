// SPDX-License-Identifier: Apache-2.0
//
// HttpClient: HTTP/1.1, or HTTP/2 without TLS, to a TCP address or a Unix socket, with kept
// connections per endpoint and streamed bodies both ways; and proxy(), which carries a whole
// exchange (also WebSocket upgrades, to HTTP/1.1) to an endpoint. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/net/http.h"

namespace thaw::net {

// Either host (a literal address) and port, or the path of a Unix socket; and what is spoken there.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  std::string unix_path;
  enum class Wire { http1, h2c } wire = Wire::http1;  // h2c: HTTP/2 from the first byte on, no TLS
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  Headers trailers;  // behind the body, once its end was read; of HTTP/2 only
  // Next piece; nullopt at the end. Destroying the response before its end closes the connection.
  virtual async::Task<std::optional<std::string>> read() = 0;
  virtual ~ClientResponse() = default;
  async::Task<std::string> read_all(std::size_t limit_bytes);
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  std::string authority;
  Headers headers;
  std::string body;
  // In place of `body`: the next piece of `body_bytes` in all, asked for once those before it are
  // on their way; its Error ends the request. The answer is read when all is sent, so it is for
  // servers that read a body to its end. May be empty.
  std::function<Result<std::string>()> next_piece = {};
  std::uint64_t body_bytes = 0;
};

struct ProxyOptions {
  Headers add_headers;  // such as x-forwarded-for
  // Headers of the client, by their names, that do not go upstream; may be empty.
  std::function<bool(std::string_view)> withholds;
  std::function<void(Headers&)> edit_answer;  // before the client gets them; may be empty
  std::string target;                 // the target to use upstream; empty: the request's own
  Instant deadline = Instant::max();  // for the whole exchange
};

class HttpClient {
 public:
  explicit HttpClient(async::Loop& loop);
  ~HttpClient();

  // unavailable: cannot connect or the peer broke off; deadline_exceeded past `deadline`.
  async::Task<std::unique_ptr<ClientResponse>> send(Endpoint endpoint, ClientRequest request,
                                                    Instant deadline);
  // Streams request and answer with back-pressure. An Error before the head was sent is the
  // caller's to answer (exchange.responded() tells); one after it has cut the client's stream.
  async::Task<void> proxy(HttpExchange& exchange, Endpoint endpoint, ProxyOptions options);
  // Drops the idle connections to an endpoint that is gone.
  void forget(const Endpoint& endpoint);
  // Whether a connection succeeds by `deadline`; it is tried once, and closed.
  async::Task<bool> connects(Endpoint endpoint, Instant deadline);
  // A server is there that says the preface of HTTP/2. failed_precondition: it speaks otherwise;
  // unavailable and deadline_exceeded tell what else it does.
  async::Task<void> greets(Endpoint endpoint, Instant deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thaw::net
