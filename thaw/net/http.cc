// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/http.h"

#include "thaw/codec/json.h"
#include "thaw/net/body_length.h"
#include "thaw/net/detail/grpc_wire.h"

namespace thaw::net {

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key == name) {
      return value;
    }
  }
  return std::nullopt;
}

std::string_view HttpRequest::path() const {
  const std::string_view whole = target;
  return whole.substr(0, whole.find('?'));
}

std::string_view HttpRequest::query() const {
  const std::string_view whole = target;
  const std::size_t mark = whole.find('?');
  return mark == std::string_view::npos ? std::string_view() : whole.substr(mark + 1);
}

async::Task<std::string> HttpExchange::read_all(std::size_t limit_bytes) {
  THAW_CO_TRY_VOID(check_body_length(request(), limit_bytes));
  std::string all;
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await read());
    if (!piece) {
      co_return all;
    }
    if (piece->size() > limit_bytes - all.size()) {
      co_return body_too_large(limit_bytes);
    }
    THAW_CO_TRY_VOID(keep(piece->size()));
    if (all.empty()) {
      all = std::move(*piece);
    } else {
      all += *piece;
    }
  }
}

async::Task<void> HttpExchange::respond_whole(int status, Headers headers, std::string body) {
  if (respond_at_once(status, headers, body)) {
    co_return ok();
  }
  THAW_CO_TRY_VOID(co_await respond(status, std::move(headers)));
  if (!body.empty()) {
    THAW_CO_TRY_VOID(co_await write(std::move(body)));
  }
  co_return co_await finish();
}

async::Task<void> HttpExchange::answer(int status, std::string content_type, std::string body) {
  Headers headers;
  if (status == 429 || status == 503) {
    // What is short here is free again soon, or not for a long while: a client that asks once a
    // second costs little.
    headers.add("retry-after", "1");
  }
  if (!content_type.empty()) {
    headers.add("content-type", std::move(content_type));
  }
  headers.add("content-length", std::to_string(body.size()));
  co_return co_await respond_whole(status, std::move(headers), std::move(body));
}

bool HttpExchange::is_grpc() const {
  const auto type = request().headers.find("content-type");
  return request().version == "2" && type && detail::is_grpc_content_type(*type);
}

async::Task<void> HttpExchange::answer_error(Error error) {
  if (is_grpc()) {
    // One head is the whole answer.
    Headers headers;
    headers.add("content-type", "application/grpc");
    headers.add("grpc-status", std::to_string(static_cast<int>(error.code())));
    headers.add("grpc-message", detail::encode_grpc_message(error.message()));
    co_return co_await respond_whole(200, std::move(headers), "");
  }
  const codec::Json json = {{"error", error.message()}, {"code", code_name(error.code())}};
  std::string body = codec::dump_json(json) + "\n";
  co_return co_await answer(http_status(error.code()), "application/json", std::move(body));
}

async::Task<std::unique_ptr<ByteStream>> HttpExchange::switch_protocols(Headers) {
  co_return Error::unimplemented("this connection cannot switch protocols; use HTTP/1.1");
}

const Headers& HttpExchange::trailers() const {
  static const Headers none;
  return none;
}

int http_status(Code code) {
  switch (code) {
    case Code::ok: return 200;
    case Code::invalid_argument:
    case Code::failed_precondition: return 400;
    case Code::out_of_range: return 413;
    case Code::unauthenticated: return 401;
    case Code::permission_denied: return 403;
    case Code::not_found: return 404;
    case Code::already_exists:
    case Code::aborted: return 409;
    case Code::resource_exhausted: return 429;
    case Code::unimplemented: return 501;
    case Code::cancelled:
    case Code::unavailable: return 503;
    case Code::deadline_exceeded: return 504;
    case Code::unknown:
    case Code::internal:
    case Code::data_loss: return 500;
  }
  return 500;
}

}  // namespace thaw::net
