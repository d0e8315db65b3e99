// SPDX-License-Identifier: Apache-2.0
//
// The one view of an HTTP request that code above net/ sees, whatever the wire: HTTP/1.1 or an
// HTTP/2 stream. A handler gets an HttpExchange, reads the body in pieces, answers with a head,
// pieces and an end. Every write waits until the peer has taken enough (back-pressure); every
// operation ends with Error::cancelled or unavailable when the peer is gone. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/async/task.h"

namespace thaw::net {

// Who is at the other end. `identity` is the name that its Unix socket or door was opened under (a
// container's id, or "admin"); it is empty on TCP. That socket or door is the container's identity.
struct Peer {
  enum class Transport { tcp, unix_socket, door };
  Transport transport = Transport::tcp;
  std::string address;  // "127.0.0.1:53210" on TCP
  std::string identity;
  enum class Wire { plain, tls };
  Wire wire = Wire::plain;

  const char* scheme() const { return wire == Wire::tls ? "https" : "http"; }
};

// Lower-case names, in order of arrival; repeated names stay separate.
struct Headers {
  std::vector<std::pair<std::string, std::string>> fields;

  // First value of `name` (lower-case), or nullopt.
  std::optional<std::string_view> find(std::string_view name) const;
  void add(std::string name, std::string value) {
    fields.emplace_back(std::move(name), std::move(value));
  }
};

struct HttpRequest {
  std::string method;
  std::string target;     // as sent: raw path and query
  std::string version;    // "1.1" or "2"
  std::string scheme;     // "http", or "https" over TLS
  std::string authority;  // Host or :authority
  Headers headers;
  Peer peer;

  std::string_view path() const;   // still percent-encoded, without the query
  std::string_view query() const;  // without '?'
};

struct WebSocketMessage {
  enum class Kind { text, binary };
  Kind kind = Kind::text;
  std::string data;
};

class WebSocket {
 public:
  virtual ~WebSocket() = default;
  // nullopt: the peer closed; close_code() tells how.
  virtual async::Task<std::optional<WebSocketMessage>> receive() = 0;
  virtual async::Task<void> send(WebSocketMessage message) = 0;
  virtual async::Task<void> close(int code, std::string reason) = 0;
  virtual int close_code() const = 0;
};

// Raw bytes after `101 Switching Protocols`. Reading and writing may overlap; one task for each.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Next bytes (at most ~64 KiB); nullopt when the peer has sent its last.
  virtual async::Task<std::optional<std::string>> read() = 0;
  // Waits while more than a bounded amount is unsent.
  virtual async::Task<void> write(std::string data) = 0;
  // Sends what is left and ends this direction; the peer sees the end, reading goes on. What is
  // unsent when the ByteStream is destroyed is lost.
  virtual async::Task<void> finish() = 0;
};

class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;

  // Next piece of the body (at most ~64 KiB); nullopt at its end.
  virtual async::Task<std::optional<std::string>> read() = 0;
  // What the client has sent behind the body, once read() has given its end.
  virtual const Headers& trailers() const;
  // The body is known to be at its end: read() would give nullopt at once.
  virtual bool is_read() const { return false; }
  // Head of the answer. With a content-length header the body must have just that length; without
  // one it is chunked (HTTP/1.1) or framed (HTTP/2). Hop-by-hop headers are net's business.
  virtual async::Task<void> respond(int status, Headers headers) = 0;
  virtual async::Task<void> write(std::string data) = 0;
  virtual async::Task<void> finish() = 0;
  // What finish() sends behind the body, where the wire has room for it: HTTP/2, and HTTP/1.1 of an
  // answer without a length.
  virtual void set_trailers(Headers /*trailers*/) {}
  // respond(), write() and finish() in one, for an answer that is there as a whole.
  async::Task<void> respond_whole(int status, Headers headers, std::string body);
  // The same without waiting, where that is possible; else nothing is done and nothing is taken.
  virtual bool respond_at_once(int, const Headers&, std::string&) { return false; }
  // True once respond() was called.
  virtual bool responded() const = 0;
  // Returns when the peer has gone away (or the exchange is over). For concurrent use beside the
  // answering task.
  virtual async::Task<void> until_gone() = 0;

  virtual bool is_websocket_upgrade() const = 0;
  // The sub-protocol must be one the client offered, or empty. HTTP/1.1 only.
  virtual async::Task<std::unique_ptr<WebSocket>> accept_websocket(std::string subprotocol,
                                                                   Headers headers) = 0;
  // Sends `101` with these headers (they name the upgrade) and hands out the connection; what the
  // client sent behind its head is read first. unimplemented where the wire has no upgrades.
  virtual async::Task<std::unique_ptr<ByteStream>> switch_protocols(Headers headers);

  // Conveniences on top of the above.
  // out_of_range past the limit; resource_exhausted past what is kept for this peer.
  async::Task<std::string> read_all(std::size_t limit_bytes);
  async::Task<void> answer(int status, std::string content_type, std::string body);
  // http_status() of the code and {"error": message, "code": name} as JSON; what asks by gRPC gets
  // the code and the message as gRPC has them.
  async::Task<void> answer_error(Error error);
  // The request is one of gRPC, whatever serves it.
  bool is_grpc() const;
  // So many bytes more of the body are kept until the exchange ends, on the peer's account;
  // resource_exhausted. For who gathers what read() gives.
  virtual Result<void> keep(std::size_t /*bytes*/) { return ok(); }
};

// The status that stands for an error code where no dialect has its own table.
int http_status(Code code);

using HttpHandler = std::function<async::Task<void>(HttpExchange&)>;

}  // namespace thaw::net
