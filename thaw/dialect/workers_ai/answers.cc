// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/answers.h"

#include <utility>

#include "thaw/codec/ids.h"
#include "thaw/codec/utf8.h"

namespace thaw::dialect::workers_ai {

using async::Task;
using codec::Json;

namespace {

constexpr const char* retry_after_s = "1";
constexpr std::size_t longest_name = 200;

net::Headers headers_for(std::string type) {
  net::Headers headers;
  // Without a character set: a binding takes nothing else for JSON.
  headers.add("content-type", std::move(type));
  headers.add("cf-ai-req-id", codec::random_lower(24));
  return headers;
}

}  // namespace

Refusal refusal_of(const Error& error) {
  const std::string message = codec::valid_utf8(error.message());
  switch (error.code()) {
    case Code::invalid_argument: return {400, 5006, "AiError: Bad input: " + message, false};
    case Code::failed_precondition: return {400, 5004, "AiError: " + message, false};
    case Code::unauthenticated: return {401, 10000, "Authentication error: " + message, false};
    case Code::permission_denied:
      return {403, 9109, "Unauthorized to access requested resource: " + message, false};
    case Code::not_found: return {404, 7003, message, false};
    case Code::already_exists: return {409, 5006, message, false};
    case Code::out_of_range: return {413, 3006, "AiError: Request is too large: " + message, false};
    case Code::resource_exhausted: return {429, 3040, "AiError: Out of capacity: " + message, true};
    case Code::deadline_exceeded: return {408, 3007, "AiError: Request timeout: " + message, false};
    case Code::cancelled: return {408, 3008, "AiError: Request was aborted: " + message, false};
    case Code::unimplemented: return {501, 5005, "AiError: " + message, false};
    case Code::unavailable: return {503, 3043, "AiError: " + message, true};
    default: return {500, 3043, "AiError: Internal server error: " + message, false};
  }
}

Refusal no_such_model(const std::string& name) {
  const std::string told = codec::valid_utf8(name.substr(0, longest_name));
  return {400, 5007,
          "AiError: No such model " + told +
              " or task: nothing answers to this name here; `thaw "
              "model alias " +
              told + " OWNER/MODEL` lets one of your models do so",
          false};
}

Json envelope(Json result) {
  return {{"result", std::move(result)},
          {"success", true},
          {"errors", Json::array()},
          {"messages", Json::array()}};
}

Json envelope_of(const Refusal& refusal) {
  return {{"result", nullptr},
          {"success", false},
          {"errors", Json::array({{{"code", refusal.code}, {"message", refusal.message}}})},
          {"messages", Json::array()}};
}

Task<void> answer_json(net::HttpExchange& exchange, int status, Json body) {
  return exchange.respond_whole(status, headers_for("application/json"), codec::dump_json(body));
}

Task<void> answer_result(net::HttpExchange& exchange, Face face, Json result) {
  return answer_json(exchange, 200,
                     face == Face::api ? envelope(std::move(result)) : std::move(result));
}

Task<void> answer_refusal(net::HttpExchange& exchange, Face face, Refusal refusal) {
  net::Headers headers = headers_for("application/json");
  headers.add("x-should-retry", refusal.may_retry ? "true" : "false");
  if (refusal.may_retry) {
    headers.add("retry-after", retry_after_s);
  }
  Json body = envelope_of(refusal);
  if (face == Face::binding) {
    body["internalCode"] = refusal.code;
    body["name"] = "InferenceUpstreamError";
    body["message"] = refusal.message;
    body["description"] = refusal.message;
  }
  return exchange.respond_whole(refusal.status, std::move(headers), codec::dump_json(body));
}

Task<void> answer_bytes(net::HttpExchange& exchange, std::string type, std::string bytes) {
  return exchange.respond_whole(200, headers_for(std::move(type)), std::move(bytes));
}

}  // namespace thaw::dialect::workers_ai
