// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/local_server_port.h"

#include <utility>

namespace thaw::worker {

namespace {

net::Endpoint endpoint_of(const std::string& address, const model::PushContract& contract) {
  return {address, contract.port, "",
          contract.wire == model::PushContract::Wire::h2c ? net::Endpoint::Wire::h2c
                                                          : net::Endpoint::Wire::http1};
}

// A whole answer has one place for what is said of it: of gRPC the status comes behind the body.
void add_trailers(net::Headers trailers, codec::HttpResponseMessage& answer) {
  for (auto& field : trailers.fields) {
    if (field.first != "content-length" && field.first != "transfer-encoding") {
      answer.headers.push_back(std::move(field));
    }
  }
}

}  // namespace

LocalServerPort::LocalServerPort(net::HttpClient& client, const std::string& address,
                                 model::PushContract contract, std::function<bool()> has_ended)
    : client_(client),
      endpoint_(endpoint_of(address, contract)),
      contract_(std::move(contract)),
      has_ended_(std::move(has_ended)),
      watch_(client_, endpoint_, contract_) {}

async::Task<void> LocalServerPort::until_ready() {
  if (endpoint_.host.empty()) {
    co_return Error::failed_precondition(
        "its container has no network, by which its port would be reached");
  }
  co_return co_await watch_.until_ready(has_ended_);
}

namespace {

// A request of ours as an exchange whose two bodies are somewhere else.
class OwnExchange final : public net::HttpExchange {
 public:
  OwnExchange(net::HttpRequest request, std::string first, Bodies& bodies)
      : request_(std::move(request)), first_(std::move(first)), bodies_(bodies) {}

  codec::HttpResponseMessage answer;

  const net::HttpRequest& request() const override { return request_; }
  async::Task<std::optional<std::string>> read() override {
    if (!first_.empty()) {
      co_return std::optional(std::exchange(first_, {}));
    }
    THAW_CO_TRY(std::string piece, co_await bodies_.next());
    co_return piece.empty() ? std::nullopt : std::optional(std::move(piece));
  }
  async::Task<void> respond(int status, net::Headers headers) override {
    responded_ = true;
    answer.status = status;
    answer.headers = std::move(headers.fields);
    co_return ok();
  }
  async::Task<void> write(std::string data) override { return bodies_.take(std::move(data)); }
  async::Task<void> finish() override { co_return ok(); }
  void set_trailers(net::Headers trailers) override { add_trailers(std::move(trailers), answer); }
  bool responded() const override { return responded_; }
  // Whoever asks is there for as long as it does.
  async::Task<void> until_gone() override { co_return co_await async::sleep_for(24h * 365); }
  bool is_websocket_upgrade() const override { return false; }
  async::Task<std::unique_ptr<net::WebSocket>> accept_websocket(std::string,
                                                                net::Headers) override {
    co_return Error::unimplemented("this request has no WebSocket");
  }

 private:
  net::HttpRequest request_;
  std::string first_;
  Bodies& bodies_;
  bool responded_ = false;
};

}  // namespace

async::Task<codec::HttpResponseMessage> LocalServerPort::ask_in_pieces(
    codec::HttpRequestMessage request, Bodies& bodies) {
  if (bodies.request_bytes() > 0) {
    co_return co_await carry(std::move(request), bodies);
  }
  THAW_CO_TRY(const auto response,
              co_await client_.send(endpoint_, to_send(std::move(request)), Instant::max()));
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await response->read());
    if (!piece) {
      break;
    }
    THAW_CO_TRY_VOID(co_await bodies.take(std::move(*piece)));
  }
  codec::HttpResponseMessage answer;
  answer.status = response->status;
  answer.headers = std::move(response->headers.fields);
  add_trailers(std::move(response->trailers), answer);
  co_return answer;
}

// Both ways at once: a server may answer while it reads, and need not read all.
async::Task<codec::HttpResponseMessage> LocalServerPort::carry(codec::HttpRequestMessage request,
                                                               Bodies& bodies) {
  net::HttpRequest out;
  const std::uint64_t bytes = request.body.size() + bodies.request_bytes();
  net::ClientRequest head = to_send(std::move(request));
  out.method = std::move(head.method);
  out.target = std::move(head.target);
  out.version = "1.1";
  out.scheme = "http";
  out.authority = std::move(head.authority);
  out.headers = std::move(head.headers);
  std::erase_if(out.headers.fields, [](const auto& field) {
    return field.first == "content-length" || field.first == "transfer-encoding" ||
           field.first == "connection" || field.first == "upgrade";
  });
  out.headers.add("content-length", std::to_string(bytes));
  OwnExchange exchange(std::move(out), std::move(head.body), bodies);
  THAW_CO_TRY_VOID(co_await client_.proxy(exchange, endpoint_, {}));
  co_return std::move(exchange.answer);
}

async::Task<codec::HttpResponseMessage> LocalServerPort::ask(codec::HttpRequestMessage request,
                                                             std::size_t most_bytes,
                                                             Instant deadline) {
  THAW_CO_TRY(const auto response,
              co_await client_.send(endpoint_, to_send(std::move(request)), deadline));
  codec::HttpResponseMessage answer;
  answer.status = response->status;
  answer.headers = std::move(response->headers.fields);
  THAW_CO_TRY(answer.body, co_await response->read_all(most_bytes));
  add_trailers(std::move(response->trailers), answer);
  co_return answer;
}

net::ClientRequest LocalServerPort::to_send(codec::HttpRequestMessage request) const {
  net::ClientRequest out;
  out.method = std::move(request.method);
  out.target = std::move(request.target);
  out.authority = endpoint_.host + ":" + std::to_string(endpoint_.port);
  for (auto& [name, value] : request.headers) {
    if (name == "host") {
      out.authority = std::move(value);
    } else {
      out.headers.add(std::move(name), std::move(value));
    }
  }
  out.body = std::move(request.body);
  return out;
}

}  // namespace thaw::worker
