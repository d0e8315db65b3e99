// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/calls.h"

#include <algorithm>
#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/codec/http_message.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/native/callbacks.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/blob_store.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_body_bytes = 16u << 20;
constexpr std::int64_t longest_wait_s = 60;
constexpr std::size_t most_listed = 100;

std::string_view name_of(model::OutcomeKind kind) {
  switch (kind) {
    case model::OutcomeKind::success: return "success";
    case model::OutcomeKind::failure: return "failure";
    case model::OutcomeKind::timeout: return "timeout";
    case model::OutcomeKind::terminated: return "terminated";
    case model::OutcomeKind::internal_failure: return "internal_failure";
    case model::OutcomeKind::expired: return "expired";
  }
  return "failure";
}

std::string query_of(const net::HttpExchange& exchange, std::string_view name) {
  return codec::query_value(exchange.request().query(), name);
}

std::int64_t number_of(const net::HttpExchange& exchange, std::string_view name,
                       std::int64_t usual) {
  const std::string text = query_of(exchange, name);
  std::int64_t value = usual;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Instant patience_of(const net::HttpExchange& exchange) {
  const auto wait = std::clamp<std::int64_t>(number_of(exchange, "wait_s", 0), 0, longest_wait_s);
  return monotonic_now() + std::chrono::seconds(wait);
}

// Of the caller's workspace; whatever else has that id is not found.
Task<queue::CallInfo> find_call(Context& cx, gateway::Identity who, model::CallId id) {
  const Error missing = Error::not_found("no call '" + id.str().substr(0, 100) +
                                         "' is known; results are kept for seven days");
  const auto info =
      co_await cx.owners.queue.info(id);  // all workspaces: looked at in the next line
  if (info && info->call.workspace == who.workspace) {
    co_return *info;
  }
  if (!info && info.error().code() != Code::not_found) {
    co_return info.error();
  }
  co_return missing;
}

Task<std::vector<model::LogEntry>> finals(Context& cx, model::CallId id, Instant until) {
  std::function<bool(const model::LogEntry&)> wanted = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_;
  };
  co_return co_await cx.owners.queue.read(std::move(id), 0, most_listed, until, std::move(wanted));
}

Json json_of_output(const model::LogEntry& entry) {
  Json out = {
      {"index", entry.index}, {"outcome", name_of(entry.outcome)}, {"attempts", entry.attempts}};
  if (entry.failure) {
    out["error"] = entry.failure->message;
  }
  return out;
}

// That has served it, or is to; empty: whichever is live when a container takes it.
std::string version_of(const queue::CallInfo& info, const std::vector<model::LogEntry>& finals) {
  const bool is_told = !finals.empty() && !finals.back().version.empty();
  return is_told ? finals.back().version : info.call.version;
}

Task<void> show(Context& cx, net::HttpExchange& exchange, queue::CallInfo info) {
  THAW_CO_TRY(const auto entries, co_await finals(cx, info.call.id, patience_of(exchange)));
  THAW_CO_TRY(info, co_await cx.owners.queue.info(info.call.id));  // all workspaces: found before
  Json outputs = Json::array();
  for (const model::LogEntry& entry : entries) {
    outputs.push_back(json_of_output(entry));
  }
  // all workspaces: the call's own
  const auto function = cx.owners.catalog.functions.find(info.call.function.str());
  Json out = {{"call", info.call.id},
              {"function", function ? function->tag : info.call.function.str()},
              {"version", version_of(info, entries)},
              {"state", info.unfinished > 0 ? "unfinished" : "finished"},
              {"created_at", to_seconds(info.created_at)},
              {"outputs", outputs}};
  if (info.started_at) {
    out["started_at"] = to_seconds(*info.started_at);
  }
  if (info.finished_at) {
    out["finished_at"] = to_seconds(*info.finished_at);
  }
  THAW_CO_TRY(const auto callbacks, co_await cx.owners.queue.callbacks().of(info.call.id));
  for (const queue::CallbackView& view : callbacks) {
    out["callbacks"].push_back(json_of(view));
  }
  co_return co_await exchange.answer(200, "application/json", codec::dump_json(out) + "\n");
}

// As the server inside has answered it.
Task<void> answer_as(net::HttpExchange& exchange, codec::HttpResponseMessage answer) {
  net::Headers headers;
  for (auto& [name, value] : answer.headers) {
    const bool is_of_the_way = name == "content-length" || name == "transfer-encoding" ||
                               name == "connection" || name == "keep-alive";
    if (!is_of_the_way) {
      headers.add(std::move(name), std::move(value));
    }
  }
  headers.add("content-length", std::to_string(answer.body.size()));
  THAW_CO_TRY_VOID(co_await exchange.respond(answer.status, std::move(headers)));
  if (exchange.request().method != "HEAD") {
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(answer.body)));
  }
  co_return co_await exchange.finish();
}

Task<void> result(Context& cx, net::HttpExchange& exchange, queue::CallInfo info) {
  THAW_CO_TRY(const auto entries, co_await finals(cx, info.call.id, patience_of(exchange)));
  if (entries.empty()) {
    co_return co_await exchange.answer(202, "application/json",
                                       codec::dump_json({{"state", "unfinished"}}) + "\n");
  }
  const model::LogEntry& last = entries.front();
  if (last.payload.content_type == codec::http_content_type) {
    THAW_CO_TRY(codec::HttpResponseMessage answer, codec::read_http_response(last.payload.bytes));
    co_return co_await answer_as(exchange, std::move(answer));
  }
  const Json error = {{"error", last.failure ? last.failure->message : "its result is not kept"},
                      {"outcome", name_of(last.outcome)}};
  co_return co_await exchange.answer(500, "application/json", codec::dump_json(error) + "\n");
}

// The version or alias that a call is for; empty: none was named.
Result<std::string> asked_of(const net::HttpExchange& exchange) {
  std::string version = query_of(exchange, "version");
  std::string alias = query_of(exchange, "alias");
  if (!version.empty() && !alias.empty()) {
    return Error::invalid_argument("version, alias: one of them, not both");
  }
  return version.empty() ? alias : version;
}

// What the caller's request says of the one that the server is to get.
Result<std::string> request_for(const model::FunctionSpec& spec, const net::HttpExchange& exchange,
                                std::string body) {
  codec::HttpRequestMessage request;
  const std::string method = query_of(exchange, "method");
  const std::string path = query_of(exchange, "path");
  request.method = method.empty() ? "POST" : method;
  if (!path.empty() && !path.starts_with('/')) {
    return Error::invalid_argument("path: begins with /");
  }
  request.target = path.empty() && spec.push ? spec.push->target : path;
  for (const char* name : {"content-type", "accept"}) {
    if (const auto value = exchange.request().headers.find(name)) {
      request.headers.emplace_back(name, std::string(*value));
    }
  }
  request.body = std::move(body);
  return codec::write_http(request);
}

}  // namespace

Task<void> serve_new_call(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                          std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY_VOID(find_published(scope, name));
  THAW_CO_TRY(std::string body, co_await exchange.read_all(most_body_bytes));
  // Which version gets it is decided as late as can be: it may be gone by the end of the body.
  THAW_CO_TRY(const Published published, find_published(scope, name));
  THAW_CO_TRY(const std::string asked, asked_of(exchange));
  THAW_CO_TRY(const gateway::Route route, find_route(cx, scope, published, asked));
  const gateway::KeptVersions::Hold hold(cx.owners.versions, route.target);
  THAW_CO_TRY(std::string request, request_for(*route.spec, exchange, std::move(body)));
  model::NewCall call;
  call.id = model::CallId(codec::random_id("fc"));
  call.workspace = route.spec->workspace;
  call.app = published.app->id;
  call.function = route.target.function;
  call.version = route.target.version;
  call.durability = model::Durability::durable;
  call.retry = route.spec->retry;
  THAW_CO_TRY(call.callbacks, read_callbacks(exchange.request().headers, cx.owners.sinks));
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, {std::move(request), std::string(codec::http_content_type)}});
  model::CallId id = call.id;
  if (const auto key = exchange.request().headers.find("idempotency-key")) {
    const std::string bytes = inputs.front().payload.bytes + callbacks_text(call.callbacks);
    const queue::Once once{std::string(*key),
                           store::sha256_hex(asked.empty() ? bytes : asked + '\0' + bytes)};
    THAW_CO_TRY(const queue::Created created,
                co_await cx.owners.queue.create_once(std::move(call), std::move(inputs), once));
    id = created.id;
  } else {
    THAW_CO_TRY([[maybe_unused]] const auto ids,
                co_await cx.owners.queue.create(std::move(call), std::move(inputs)));
  }
  co_return co_await exchange.answer(202, "application/json",
                                     codec::dump_json({{"call", id}}) + "\n");
}

Task<void> serve_calls(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  queue::CallFilter filter;
  filter.workspace = who.workspace;
  if (const std::string name = query_of(exchange, "function"); !name.empty()) {
    THAW_CO_TRY(const Published published, find_published(scope, name));
    filter.function = published.spec->id;
  }
  const auto most = static_cast<std::size_t>(
      std::clamp<std::int64_t>(number_of(exchange, "limit", most_listed), 1, most_listed));
  THAW_CO_TRY(const queue::CallPage page,
              co_await cx.owners.queue.list(filter, query_of(exchange, "cursor"), most));
  Json calls = Json::array();
  for (const queue::ListedCall& call : page.calls) {
    const auto function = scope.function(call.function.str());
    calls.push_back(
        {{"call", call.id},
         {"function", function ? function->tag : call.function.str()},
         {"state", call.finished_at ? "finished" : "unfinished"},
         {"cancelled", call.cancelled},
         {"durable", call.durability == model::Durability::durable},
         {"created_at", to_seconds(call.created_at)},
         {"finished_at", call.finished_at ? Json(to_seconds(*call.finished_at)) : Json()}});
  }
  co_return co_await exchange.answer(
      200, "application/json", codec::dump_json({{"calls", calls}, {"next", page.next}}) + "\n");
}

Task<void> serve_call(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                      std::string id, std::string what) {
  THAW_CO_TRY(queue::CallInfo info, co_await find_call(cx, std::move(who), model::CallId(id)));
  if (what == "result") {
    co_return co_await result(cx, exchange, std::move(info));
  }
  if (exchange.request().method != "DELETE") {
    co_return co_await show(cx, exchange, std::move(info));
  }
  THAW_CO_TRY(const auto running, co_await cx.owners.queue.cancel(info.call.id));
  cx.owners.fleet.cancel_inputs(running, control::Fleet::StopHow::graceful);
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json({{"cancelled", id}}) + "\n");
}

}  // namespace thaw::dialect::native
