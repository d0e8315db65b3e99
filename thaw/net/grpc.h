// SPDX-License-Identifier: Apache-2.0
//
// gRPC's server side as a method table: path -> coroutine, for all four kinds. Messages are
// libprotobuf's; no generated service code. A handler that returns an Error ends the RPC with that
// code and message (grpc-message, percent-encoded). The client's RST_STREAM, a closed connection
// or a passed grpc-timeout cancels the handler's task. Handlers run on the server's loop.
// Wire: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
#pragma once

#include <google/protobuf/message_lite.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "thaw/async/task.h"
#include "thaw/net/http.h"

namespace thaw::net {

// One RPC as its handler sees it; lives until the handler's task has ended.
class GrpcCall {
 public:
  virtual ~GrpcCall() = default;
  virtual const std::string& path() const = 0;
  virtual const Headers& metadata() const = 0;
  virtual const Peer& peer() const = 0;
  virtual const std::string& authority() const = 0;
  virtual Instant deadline() const = 0;  // Instant::max() when the client set none
  // Sent with the final status. Binary values go under names that end in -bin (base64 is added).
  virtual void add_trailer(std::string name, std::string value) = 0;
  // Call before building a reply of megabytes: waits until the replies that this connection's peer
  // has not taken yet leave room for it (ServerLimits::connection_reply_bytes; one that is larger
  // waits for all others). Held until the call ends; once per call.
  virtual async::Task<void> reserve_reply(std::size_t bytes) = 0;
};

// Raw, framed messages below the typed table; implemented by the HTTP/2 session.
class GrpcStream {
 public:
  virtual ~GrpcStream() = default;
  // Next message's bytes; nullopt when the client has half-closed.
  virtual async::Task<std::optional<std::string>> read_message() = 0;
  // Waits while the peer's window (plus a bounded buffer) is full.
  virtual async::Task<void> write_message(const google::protobuf::MessageLite& message) = 0;
};

template <class Item>
class Sink {
 public:
  explicit Sink(GrpcStream& stream) : stream_(stream) {}
  async::Task<void> write(const Item& item) { return stream_.write_message(item); }

 private:
  GrpcStream& stream_;
};

template <class Item>
class Source {
 public:
  explicit Source(GrpcStream& stream) : stream_(stream) {}
  async::Task<std::optional<Item>> next() {
    THAW_CO_TRY(const std::optional<std::string> bytes, co_await stream_.read_message());
    if (!bytes) {
      co_return std::nullopt;
    }
    std::optional<Item> item(std::in_place);
    if (!item->ParseFromString(*bytes)) {
      co_return Error::invalid_argument("a message of the stream is not valid protobuf");
    }
    co_return item;
  }

 private:
  GrpcStream& stream_;
};

// Whose requests a call's bytes are counted to. Without an account they stay its peer's.
struct Admission {
  std::string account;
  std::string within;  // the account that this one is a part of; empty: none
};

class GrpcTable {
 public:
  using Method = std::function<async::Task<void>(GrpcCall&, GrpcStream&)>;

  template <class Request, class Reply>
  void unary(std::string path, std::function<async::Task<Reply>(GrpcCall&, Request)> handler) {
    add(std::move(path), [handler = std::move(handler)](GrpcCall& call, GrpcStream& stream) {
      return run_unary<Request, Reply>(call, stream, handler);
    });
  }
  template <class Request, class Item>
  void server_stream(std::string path,
                     std::function<async::Task<void>(GrpcCall&, Request, Sink<Item>)> handler) {
    add(std::move(path), [handler = std::move(handler)](GrpcCall& call, GrpcStream& stream) {
      return run_server_stream<Request, Item>(call, stream, handler);
    });
  }
  template <class Item, class Reply>
  void client_stream(std::string path,  // tidy(unused): no dialect has this kind of RPC yet
                     std::function<async::Task<Reply>(GrpcCall&, Source<Item>)> handler) {
    add(std::move(path), [handler = std::move(handler)](GrpcCall& call, GrpcStream& stream) {
      return run_client_stream<Item, Reply>(call, stream, handler);
    });
  }
  template <class In, class Out>
  void bidi_stream(std::string path,  // tidy(unused): no dialect has this kind of RPC yet
                   std::function<async::Task<void>(GrpcCall&, Source<In>, Sink<Out>)> handler) {
    add(std::move(path), [handler = std::move(handler)](GrpcCall& call, GrpcStream& stream) {
      return handler(call, Source<In>(stream), Sink<Out>(stream));
    });
  }

  void add(std::string path, Method method);
  const Method* find(const std::string& path) const;
  // The answer to a path that is not in the table; default: UNIMPLEMENTED naming the path.
  std::function<Error(const std::string& path)> unknown;
  // What a client is told of an Error; default: its message.
  std::function<std::string(const Error&)> told;
  // Asked with the head alone, before a byte of the body is kept: an Error ends the RPC. It does
  // not wait. Not set: every call is let in.
  std::function<Result<Admission>(const HttpRequest& head, const Peer& peer)> admit;
  // Whether a call is none of this table's, but a request for the HTTP handler like any other. Not
  // set: all are the table's.
  std::function<bool(const HttpRequest& head)> passes;
  // Runs before every handler (authentication, counters). An Error ends the RPC.
  std::function<async::Task<void>(GrpcCall&)> before;

 private:
  template <class Request>
  static async::Task<Request> read_one(GrpcStream& stream) {
    THAW_CO_TRY(const std::optional<std::string> bytes, co_await stream.read_message());
    Request request;
    if (!bytes || !request.ParseFromString(*bytes)) {
      co_return Error::invalid_argument("the request message is missing or not valid protobuf");
    }
    co_return request;
  }
  template <class Request, class Reply>
  static async::Task<void> run_unary(
      GrpcCall& call, GrpcStream& stream,
      const std::function<async::Task<Reply>(GrpcCall&, Request)>& handler) {
    THAW_CO_TRY(Request request, co_await read_one<Request>(stream));
    THAW_CO_TRY(const Reply reply, co_await handler(call, std::move(request)));
    co_return co_await stream.write_message(reply);
  }
  template <class Request, class Item>
  static async::Task<void> run_server_stream(
      GrpcCall& call, GrpcStream& stream,
      const std::function<async::Task<void>(GrpcCall&, Request, Sink<Item>)>& handler) {
    THAW_CO_TRY(Request request, co_await read_one<Request>(stream));
    co_return co_await handler(call, std::move(request), Sink<Item>(stream));
  }
  template <class Item, class Reply>
  static async::Task<void> run_client_stream(
      GrpcCall& call, GrpcStream& stream,
      const std::function<async::Task<Reply>(GrpcCall&, Source<Item>)>& handler) {
    THAW_CO_TRY(const Reply reply, co_await handler(call, Source<Item>(stream)));
    co_return co_await stream.write_message(reply);
  }

  std::unordered_map<std::string, Method> methods_;
};

}  // namespace thaw::net
