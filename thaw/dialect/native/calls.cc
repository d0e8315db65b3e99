// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/calls.h"

#include <algorithm>
#include <charconv>

#include "thaw/async/blocking.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/http_message.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/native/callbacks.h"
#include "thaw/gateway/payload_body.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/blob_store.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::uint64_t most_body_bytes = 256u << 20;
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
  THAW_CO_TRY(std::optional<queue::CallInfo> info,
              co_await cx.owners.invoke.find_call(std::move(who), id));
  if (!info) {
    co_return Error::not_found("no call '" + id.str().substr(0, 100) +
                               "' is known; results are kept for seven days");
  }
  co_return std::move(*info);
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
  THAW_CO_TRY(const auto entries,
              co_await cx.owners.invoke.ends(info.call.id, most_listed, patience_of(exchange)));
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

// As the server inside has answered it; `rest` is what of its body is not in `answer`.
Task<void> answer_as(Context& cx, net::HttpExchange& exchange, model::WorkspaceId workspace,
                     codec::HttpResponseMessage answer,
                     std::shared_ptr<const model::BlobRef> rest) {
  net::Headers headers;
  for (auto& [name, value] : answer.headers) {
    const bool is_of_the_way = name == "content-length" || name == "transfer-encoding" ||
                               name == "connection" || name == "keep-alive";
    if (!is_of_the_way) {
      headers.add(std::move(name), std::move(value));
    }
  }
  model::Payload body{.bytes = std::move(answer.body), .rest = std::move(rest)};
  co_return co_await gateway::answer_with(exchange, answer.status, std::move(headers),
                                          cx.owners.queue.payloads(), std::move(workspace),
                                          std::move(body));
}

Task<void> result(Context& cx, net::HttpExchange& exchange, queue::CallInfo info) {
  THAW_CO_TRY(const auto entries,
              co_await cx.owners.invoke.ends(info.call.id, most_listed, patience_of(exchange)));
  if (entries.empty()) {
    co_return co_await exchange.answer(202, "application/json",
                                       codec::dump_json({{"state", "unfinished"}}) + "\n");
  }
  const model::LogEntry& last = entries.front();
  if (last.payload.content_type == codec::http_content_type) {
    model::Payload payload = last.payload;
    if (payload.bytes.empty()) {
      THAW_CO_TRY(payload, co_await cx.owners.queue.payloads().whole(info.call.workspace,
                                                                     std::move(payload)));
    }
    THAW_CO_TRY(codec::HttpResponseMessage answer, codec::read_http_response(payload.bytes));
    co_return co_await answer_as(cx, exchange, info.call.workspace, std::move(answer),
                                 payload.rest);
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

// What the caller's request says of the one that the server is to get, with its body behind it.
Result<model::Payload> request_for(const model::FunctionSpec& spec,
                                   const net::HttpExchange& exchange, model::Payload body) {
  codec::HttpRequestMessage request;
  const std::string method = query_of(exchange, "method");
  const std::string path = query_of(exchange, "path");
  request.method = method.empty() ? "POST" : method;
  if (!path.empty() && !path.starts_with('/')) {
    return Error::invalid_argument("path: begins with /");
  }
  request.target = path.empty() && spec.push ? spec.push->target : path;
  for (const char* name : {"content-type", "content-encoding", "accept"}) {
    if (const auto value = exchange.request().headers.find(name)) {
      request.headers.emplace_back(name, std::string(*value));
    }
  }
  request.body = std::move(body.bytes);
  model::Payload payload;
  THAW_TRY(payload.bytes, codec::write_http(request));
  payload.content_type = codec::http_content_type;
  payload.rest = std::move(body.rest);
  return payload;
}

// Of equal requests it is the same. What of one is a blob has a name that follows from its bytes.
Task<std::string> fingerprint_of(Context& cx, model::WorkspaceId workspace, std::string asked,
                                 model::Payload request, std::string callbacks) {
  std::string text = asked.empty() ? std::move(request.bytes) : asked + '\0' + request.bytes;
  if (request.rest) {
    text += '\0' + request.rest->sha256_hex;
  }
  text += callbacks;
  if (text.size() <= gateway::most_bytes_on_loop) {
    co_return store::sha256_hex(text);
  }
  const async::PoolShare share{cx.owners.pool, workspace.str()};
  auto hash = [text = std::move(text)] { return Result<std::string>(store::sha256_hex(text)); };
  co_return co_await async::blocking(share, std::move(hash));
}

// A callback calls its function for whoever asks for it.
Result<void> check_sinks(const gateway::Identity& who,
                         const std::vector<model::Callback>& callbacks) {
  for (const model::Callback& one : callbacks) {
    if (one.sink.starts_with(model::function_sink)) {
      const std::string name = one.sink.substr(model::function_sink.size(),
                                               one.sink.find('@') - model::function_sink.size());
      THAW_TRY_VOID(gateway::check_names(who, name, name));
    }
  }
  return ok();
}

}  // namespace

Task<void> serve_new_call(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                          std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY_VOID(find_published(cx, scope, name));
  queue::Payloads& payloads = cx.owners.queue.payloads();
  // Behind its head; what is less is stored with it.
  THAW_CO_TRY(model::Payload body,
              co_await gateway::receive_body(exchange, payloads, who.workspace,
                                             payloads.largest_inline() / 2, most_body_bytes));
  // Which version gets it is decided as late as can be: it may be gone by the end of the body.
  THAW_CO_TRY(const Published published, find_published(cx, scope, name));
  THAW_CO_TRY(const std::string asked, asked_of(exchange));
  THAW_CO_TRY(const gateway::Route route, find_route(cx, scope, published, asked));
  const gateway::KeptVersions::Hold hold(cx.owners.versions, route.target);
  THAW_CO_TRY(model::Payload request, request_for(*route.spec, exchange, std::move(body)));
  model::NewCall call = gateway::Invoke::new_call(route);
  call.durability = model::Durability::durable;
  call.token = who.token;
  THAW_CO_TRY(call.callbacks, read_callbacks(exchange.request().headers, cx.owners.sinks));
  THAW_CO_TRY_VOID(check_sinks(who, call.callbacks));
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, std::move(request)});
  std::optional<queue::Once> once;
  if (const auto key = exchange.request().headers.find("idempotency-key")) {
    once.emplace(std::string(*key));
    THAW_CO_TRY(once->fingerprint,
                co_await fingerprint_of(cx, call.workspace, asked, inputs.front().payload,
                                        callbacks_text(call.callbacks)));
  }
  THAW_CO_TRY(
      const queue::Created created,
      co_await cx.owners.invoke.create(std::move(call), std::move(inputs), std::move(once)));
  co_return co_await exchange.answer(202, "application/json",
                                     codec::dump_json({{"call", created.id}}) + "\n");
}

Task<void> serve_calls(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  queue::CallFilter filter;
  filter.workspace = who.workspace;
  if (const std::string name = query_of(exchange, "function"); !name.empty()) {
    THAW_CO_TRY(const Published published, find_published(cx, scope, name));
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
  THAW_CO_TRY_VOID(
      co_await cx.owners.invoke.cancel(info.call.id, control::Fleet::StopHow::graceful));
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json({{"cancelled", id}}) + "\n");
}

}  // namespace thaw::dialect::native
