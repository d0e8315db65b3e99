// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/remote.h"

#include <string_view>
#include <utility>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/workers_ai/api.h"

namespace thaw::dialect::workers_ai {

using async::Task;

namespace {

constexpr const char* url_header = "mf-url";
constexpr std::string_view header_prefix = "mf-header-";

// The same exchange, with the request that was meant.
class MeantExchange final : public net::HttpExchange {
 public:
  MeantExchange(net::HttpExchange& outer, net::HttpRequest request)
      : outer_(outer), request_(std::move(request)) {}

  const net::HttpRequest& request() const override { return request_; }
  Task<std::optional<std::string>> read() override { return outer_.read(); }
  const net::Headers& trailers() const override { return outer_.trailers(); }
  bool is_read() const override { return outer_.is_read(); }
  Task<void> respond(int status, net::Headers headers) override {
    return outer_.respond(status, std::move(headers));
  }
  Task<void> write(std::string data) override { return outer_.write(std::move(data)); }
  Task<void> finish() override { return outer_.finish(); }
  bool responded() const override { return outer_.responded(); }
  Task<void> until_gone() override { return outer_.until_gone(); }
  bool is_websocket_upgrade() const override { return outer_.is_websocket_upgrade(); }
  Task<std::unique_ptr<net::WebSocket>> accept_websocket(std::string subprotocol,
                                                         net::Headers headers) override {
    return outer_.accept_websocket(std::move(subprotocol), std::move(headers));
  }
  Result<void> keep(std::size_t bytes) override { return outer_.keep(bytes); }

 private:
  net::HttpExchange& outer_;
  net::HttpRequest request_;
};

// "https://HOST/PATH" in its parts.
Result<net::HttpRequest> meant_by(const net::HttpRequest& given, std::string_view url,
                                  const std::string& key) {
  const std::size_t scheme = url.find("://");
  const std::size_t path = scheme == std::string_view::npos ? scheme : url.find('/', scheme + 3);
  if (path == std::string_view::npos) {
    return Error::invalid_argument("mf-url: has to be a whole address");
  }
  net::HttpRequest request;
  request.method = given.method;
  request.version = given.version;
  request.scheme = given.scheme;
  request.peer = given.peer;
  request.authority = url.substr(scheme + 3, path - scheme - 3);
  request.target = url.substr(path);
  request.headers.add("authorization", "Bearer " + key);
  for (const auto& [name, value] : given.headers.fields) {
    // How long the body is this request's own header says.
    const std::string meant =
        name.starts_with(header_prefix) ? name.substr(header_prefix.size()) : std::string();
    if (name == "content-length") {
      request.headers.add(name, value);
    } else if (!meant.empty() && meant != "content-length" && meant != "authorization") {
      request.headers.add(meant, value);
    }
  }
  return request;
}

}  // namespace

Task<void> serve_remote(Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& given = exchange.request();
  const auto url = given.headers.find(url_header);
  std::string_view key = given.path().substr(std::string_view(remote_prefix).size());
  if (!url || key.size() < 2 || exchange.is_websocket_upgrade()) {
    // Simulators look for more than requests first, and do without.
    co_return Error::not_found("only requests of a binding are served here, with its key");
  }
  key.remove_prefix(1);
  THAW_CO_TRY(net::HttpRequest request, meant_by(given, *url, codec::percent_decode(key)));
  MeantExchange meant(exchange, std::move(request));
  co_return co_await serve_binding(cx, meant);
}

}  // namespace thaw::dialect::workers_ai
