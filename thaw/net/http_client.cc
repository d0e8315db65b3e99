// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/http_client.h"

#include "thaw/net/detail/client_pool.h"
#include "thaw/net/detail/http1_body.h"
#include "thaw/net/detail/http1_head.h"
#include "thaw/net/detail/http1_proxy.h"
#include "thaw/net/detail/http2_pool.h"
#include "thaw/net/detail/http2_proxy.h"

namespace thaw::net {

using detail::ClientConnection;
using detail::ClientConnectionPtr;
using detail::ClientPool;
using detail::HeadWriter;
using detail::Http2Call;
using detail::Http2Client;
using detail::Http2Pool;

struct HttpClient::State {
  explicit State(async::Loop& loop)
      : pool(std::make_shared<ClientPool>(loop)),
        http2(std::make_shared<Http2Pool>(loop, pool->shared_timer())) {}
  ~State() {
    pool->close();
    http2->close();
  }
  std::shared_ptr<ClientPool> pool;
  std::shared_ptr<Http2Pool> http2;
};

namespace {

class PooledResponse final : public ClientResponse {
 public:
  PooledResponse(std::shared_ptr<ClientPool> pool, ClientConnectionPtr connection)
      : pool_(std::move(pool)), connection_(std::move(connection)) {
    status = connection_->parser.head().status;
    headers = std::move(connection_->parser.head().headers);
    give_back_when_done();
  }

  async::Task<std::optional<std::string>> read() override {
    if (!connection_) {
      co_return std::nullopt;
    }
    Result<std::optional<std::string>> piece =
        co_await detail::read_body(connection_->stream, connection_->parser);
    if (!piece) {
      connection_->stream->close();
    }
    if (piece) {
      give_back_when_done();
    }
    co_return piece;
  }

 private:
  void give_back_when_done() {
    if (connection_->parser.done()) {
      pool_->give_back(std::move(connection_));
    }
  }

  std::shared_ptr<ClientPool> pool_;
  ClientConnectionPtr connection_;
};

Result<std::string> render_request(const ClientRequest& request) {
  THAW_TRY_VOID(detail::check_request_line(request.method, request.target));
  HeadWriter head(request.method, request.target);
  THAW_TRY_VOID(
      head.add_checked("host", request.authority.empty() ? "localhost" : request.authority));
  for (const auto& [name, value] : request.headers.fields) {
    if (!detail::is_hop_by_hop(name) && name != "host" && name != "content-length") {
      THAW_TRY_VOID(head.add_checked(name, value));
    }
  }
  const bool may_have_body = request.method != "GET" && request.method != "HEAD";
  const std::uint64_t bytes = request.next_piece ? request.body_bytes : request.body.size();
  if (may_have_body || bytes > 0) {
    head.add("content-length", std::to_string(bytes));
  }
  return std::move(head).end();
}

// Behind a head that waits to be sent. A server that takes no more may have answered why.
async::Task<void> send_pieces(detail::Stream& stream, ClientRequest& request) {
  std::uint64_t rest = request.body_bytes;
  while (rest > 0) {
    THAW_CO_TRY(std::string piece, request.next_piece());
    if (piece.empty() || piece.size() > rest) {
      co_return Error::internal("a request's body is not of the length that its head says");
    }
    rest -= piece.size();
    const Result<void> taken = co_await stream.write(std::move(piece));
    if (!taken) {
      break;
    }
  }
  (void)stream.push();
  co_return ok();
}

class Http2Response final : public ClientResponse {
 public:
  explicit Http2Response(std::shared_ptr<Http2Call> call) : call_(std::move(call)) {
    status = call_->status;
    headers = std::move(call_->headers);
  }

  async::Task<std::optional<std::string>> read() override {
    THAW_CO_TRY(std::optional<std::string> piece, co_await call_->read());
    if (!piece) {
      trailers = std::move(call_->trailers);
    }
    co_return piece;
  }

 private:
  std::shared_ptr<Http2Call> call_;
};

// A server that takes no more may have answered why.
async::Task<void> send_body(Http2Call& call, ClientRequest& request) {
  bool is_taken = true;
  if (!request.next_piece) {
    call.queue(std::move(request.body));
  }
  for (std::uint64_t rest = request.body_bytes; request.next_piece && is_taken && rest > 0;) {
    THAW_CO_TRY(std::string piece, request.next_piece());
    if (piece.empty() || piece.size() > rest) {
      co_return Error::internal("a request's body is not of the length that its head says");
    }
    rest -= piece.size();
    is_taken = (co_await call.write(std::move(piece))).has_value();
  }
  Headers none;
  call.end(std::move(none));
  co_return ok();
}

// What a server has refused unseen is sent again, if it is still there.
async::Task<std::unique_ptr<ClientResponse>> send_http2(std::shared_ptr<Http2Pool> pool,
                                                        Endpoint endpoint, ClientRequest request,
                                                        Instant deadline) {
  THAW_CO_TRY_VOID(detail::check_request_line(request.method, request.target));
  Headers headers;
  for (const auto& [name, value] : request.headers.fields) {
    if ((!detail::is_hop_by_hop(name) || name == "te") && name != "host" &&
        name != "content-length") {
      headers.add(name, value);
    }
  }
  const std::uint64_t bytes = request.next_piece ? request.body_bytes : request.body.size();
  const bool has_body = bytes > 0 || request.next_piece;
  if (has_body || (request.method != "GET" && request.method != "HEAD")) {
    headers.add("content-length", std::to_string(bytes));
  }
  const std::string authority = request.authority.empty() ? "localhost" : request.authority;
  const auto fields = detail::http2_request(request.method, request.target, authority, headers);
  for (bool again = false;; again = true) {
    THAW_CO_TRY(const auto client, co_await pool->take(endpoint, deadline));
    const bool was_used = client->was_used();
    using Body = Http2Client::Body;
    THAW_CO_TRY(auto call, client->begin(fields, has_body ? Body::follows : Body::none, deadline));
    if (has_body) {
      THAW_CO_TRY_VOID(co_await send_body(*call, request));
    }
    client->flush();
    const Result<void> answered = co_await call->until_head();
    if (answered) {
      co_return std::make_unique<Http2Response>(std::move(call));
    }
    const bool is_lost = was_used && !call->has_begun() && !client->is_open() &&
                         detail::is_idempotent(request.method);
    if (again || has_body || !(call->was_refused() || is_lost)) {
      co_return answered.error();
    }
  }
}

}  // namespace

HttpClient::HttpClient(async::Loop& loop) : state_(std::make_unique<State>(loop)) {}
HttpClient::~HttpClient() = default;

async::Task<std::unique_ptr<ClientResponse>> HttpClient::send(Endpoint endpoint,
                                                              ClientRequest request,
                                                              Instant deadline) {
  if (endpoint.wire == Endpoint::Wire::h2c) {
    co_return co_await send_http2(state_->http2, std::move(endpoint), std::move(request), deadline);
  }
  const auto pool = state_->pool;
  THAW_CO_TRY(const std::string head, render_request(request));
  const bool replayable =
      request.body.empty() && !request.next_piece && detail::is_idempotent(request.method);
  ClientConnectionPtr connection = pool->take(
      endpoint, deadline, replayable ? ClientPool::Check::seen : ClientPool::Check::asked);
  while (true) {
    if (!connection) {
      THAW_CO_TRY(connection, co_await pool->open(endpoint, deadline));
    }
    // The answer is read while a whole body may still be on its way: a server that echoes would
    // wait for us to read, and one that refuses (413) takes no more of it.
    connection->stream->append(head);
    if (request.next_piece) {
      THAW_CO_TRY_VOID(co_await send_pieces(*connection->stream, request));
    } else {
      (void)connection->stream->send(std::move(request.body), 1);
    }
    const bool head_request = request.method == "HEAD";
    THAW_CO_TRY(const bool answered, co_await detail::read_final_head(*connection, head_request));
    if (answered) {
      co_return std::make_unique<PooledResponse>(pool, std::move(connection));
    }
    if (!connection->reused || !replayable) {
      co_return Error::unavailable("the server closed the connection without an answer");
    }
    connection.reset();
  }
}

async::Task<void> HttpClient::proxy(HttpExchange& exchange, Endpoint endpoint,
                                    ProxyOptions options) {
  if (endpoint.wire == Endpoint::Wire::h2c) {
    return detail::run_http2_proxy(state_->http2, exchange, std::move(endpoint),
                                   std::move(options));
  }
  return detail::run_proxy(state_->pool, exchange, std::move(endpoint), std::move(options));
}

void HttpClient::forget(const Endpoint& endpoint) {
  state_->pool->forget(endpoint);
  state_->http2->forget(endpoint);
}

async::Task<void> HttpClient::greets(Endpoint endpoint, Instant deadline) {
  const auto pool = state_->http2;
  co_return co_await pool->greet(std::move(endpoint), deadline);
}

async::Task<bool> HttpClient::connects(Endpoint endpoint, Instant deadline) {
  const auto pool = state_->pool;
  const Result<detail::Socket> socket =
      co_await detail::connect(pool->loop(), pool->timer(), std::move(endpoint), deadline);
  if (!socket && (socket.error().code() == Code::cancelled ||
                  socket.error().code() == Code::invalid_argument)) {
    co_return socket.error();
  }
  co_return socket.has_value();
}

async::Task<std::string> ClientResponse::read_all(std::size_t limit_bytes) {
  std::string all;
  while (true) {
    THAW_CO_TRY(const std::optional<std::string> piece, co_await read());
    if (!piece) {
      co_return all;
    }
    if (piece->size() > limit_bytes - all.size()) {
      co_return Error::resource_exhausted("the answer is larger than " +
                                          std::to_string(limit_bytes) + " bytes");
    }
    all += *piece;
  }
}

}  // namespace thaw::net
