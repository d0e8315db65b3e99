// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/answers.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "thaw/codec/encoding.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t page_size = 100;
constexpr const char* retry_after_s = "1";

struct Problem {
  int status;
  const char* title;
};

Problem problem_of(Code code) {
  switch (code) {
    case Code::unauthenticated: return {401, "Unauthenticated"};
    case Code::permission_denied: return {403, "Permission denied"};
    case Code::not_found: return {404, "Not found"};
    case Code::already_exists: return {409, "Conflict"};
    case Code::out_of_range: return {413, "Request too large"};
    case Code::invalid_argument: return {422, "Input validation failed"};
    case Code::failed_precondition: return {400, "Bad request"};
    case Code::resource_exhausted: return {429, "Request was throttled"};
    case Code::unimplemented: return {501, "Not implemented"};
    case Code::unavailable: return {503, "Service unavailable"};
    case Code::deadline_exceeded: return {504, "Timed out"};
    default: return {500, "Internal server error"};
  }
}

Task<void> respond(net::HttpExchange& exchange, int status, const char* type, const Json& body) {
  net::Headers headers;
  headers.add("content-type", type);
  if (status == 429 || status == 503) {
    headers.add("retry-after", retry_after_s);
  }
  std::string text = codec::dump_json(body) + "\n";
  return exchange.respond_whole(status, std::move(headers), std::move(text));
}

}  // namespace

Task<void> answer_json(net::HttpExchange& exchange, int status, Json body) {
  return respond(exchange, status, "application/json", std::move(body));
}

Task<void> answer_nothing(net::HttpExchange& exchange) {
  return exchange.respond_whole(204, {}, {});
}

Task<void> answer_problem(net::HttpExchange& exchange, Error error) {
  const Problem problem = problem_of(error.code());
  Json body = {{"title", problem.title}, {"detail", error.message()}, {"status", problem.status}};
  return respond(exchange, problem.status, "application/problem+json", std::move(body));
}

Task<void> answer_invalid_input(net::HttpExchange& exchange,
                                std::vector<gateway::InvalidField> fields) {
  std::string detail;
  Json invalid = Json::array();
  for (const gateway::InvalidField& one : fields) {
    detail += "- " + one.field + ": " + one.what + "\n";
    invalid.push_back({{"type", one.type}, {"field", one.field}, {"description", one.what}});
  }
  Json body = {{"title", "Input validation failed"},
               {"detail", std::move(detail)},
               {"status", 422},
               {"invalid_fields", std::move(invalid)}};
  return respond(exchange, 422, "application/problem+json", std::move(body));
}

bool PageItems::add(const Json& item) {
  const std::string text = codec::dump_json(item);
  if (!text_.empty() && text_.size() + text.size() > most_bytes_) {
    return false;
  }
  text_ += (text_.empty() ? "" : ",") + text;
  return true;
}

std::string PageItems::page(const Json& previous, const Json& next) const {
  return R"({"previous":)" + codec::dump_json(previous) + R"(,"next":)" + codec::dump_json(next) +
         R"(,"results":[)" + text_ + "]}\n";
}

Task<void> answer_page(net::HttpExchange& exchange, std::string page) {
  net::Headers headers;
  headers.add("content-type", "application/json");
  return exchange.respond_whole(200, std::move(headers), std::move(page));
}

Task<void> answer_page(net::HttpExchange& exchange, std::string address, std::size_t total,
                       std::function<Json(std::size_t)> item) {
  const std::string cursor = codec::query_value(exchange.request().query(), "cursor");
  std::size_t first = 0;
  const char* end = cursor.data() + cursor.size();
  const auto [rest, wrong] = std::from_chars(cursor.data(), end, first);
  if (!cursor.empty() && (wrong != std::errc() || rest != end)) {
    co_return co_await answer_problem(
        exchange, Error::invalid_argument("cursor: take it from the address of a page"));
  }
  PageItems items;
  std::size_t last = std::min(first, total);
  const std::size_t most = std::min(total, last + page_size);
  while (last < most && items.add(item(last))) {
    ++last;
  }
  const auto page_at = [&address](std::size_t at) {
    return Json(address + (at == 0 ? "" : "?cursor=" + std::to_string(at)));
  };
  const Json previous = first > 0 ? page_at(first - std::min(first, page_size)) : Json();
  const Json next = last < total ? page_at(last) : Json();
  co_return co_await answer_page(exchange, items.page(previous, next));
}

Task<Json> read_object(net::HttpExchange& exchange, std::size_t most_bytes) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_bytes));
  auto json = body.empty() ? Result<Json>(Json::object()) : codec::parse_json(body);
  if (!json) {
    co_return Error::failed_precondition("the body is no JSON: " + json.error().message());
  }
  if (!json->is_object()) {
    co_return Error::invalid_argument("the body has to be a JSON object");
  }
  co_return std::move(*json);
}

}  // namespace thaw::dialect::replicate
