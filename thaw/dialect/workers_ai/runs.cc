// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/runs.h"

#include <charconv>
#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/codec/encoding.h"
#include "thaw/dialect/workers_ai/outputs.h"
#include "thaw/dialect/workers_ai/run.h"
#include "thaw/dialect/workers_ai/run_request.h"
#include "thaw/dialect/workers_ai/stream.h"

namespace thaw::dialect::workers_ai {

using async::Task;
using codec::Json;

namespace {

constexpr const char* model_header = "cf-consn-model-id";
constexpr std::size_t most_query_inputs = 50;

// One request, whoever it came from.
struct Asked {
  Face face = Face::api;
  std::string name;
  RunRequest request;
  std::size_t bytes = 0;  // that came
};

// What is said in the query beside a file: numbers and choices are themselves.
Json inputs_in_query(std::string_view query) {
  Json inputs = Json::object();
  while (!query.empty() && inputs.size() < most_query_inputs) {
    const std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(one.size() + 1, query.size()));
    const std::size_t equals = std::min(one.find('='), one.size());
    const std::string name = codec::percent_decode(one.substr(0, equals));
    if (name.empty()) {
      continue;
    }
    const std::string text = codec::percent_decode(one.substr(std::min(equals + 1, one.size())));
    const auto json = codec::parse_json(text);
    inputs[name] = json && (json->is_number() || json->is_boolean()) ? *json : Json(text);
  }
  return inputs;
}

// {"inputs": {…}, "options": {…}}, or a file with its `userInputs` in the query.
Result<RunRequest> read_binding_request(std::string_view body, std::string_view content_type,
                                        std::string_view query) {
  if (!content_type.starts_with("application/json")) {
    const std::string beside = codec::query_value(query, "userInputs");
    auto more = codec::parse_json(beside.empty() ? "{}" : beside);
    if (!more || !more->is_object()) {
      return Error::invalid_argument("userInputs: has to be a JSON object");
    }
    return read_run_request(body, content_type, std::move(*more));
  }
  auto json = codec::parse_json(body);
  if (!json || !json->is_object() || !json->contains("inputs")) {
    return Error::invalid_argument("the body has to be a JSON object with inputs");
  }
  return run_request_of(std::move((*json)["inputs"]));
}

Task<RunRequest> read(Context& cx, model::WorkspaceId workspace, Face face, std::string body,
                      const net::HttpRequest& request) {
  const bool is_small = body.size() <= most_json_on_loop;
  auto work = [face, body = std::move(body), query = std::string(request.query()),
               type = std::string(request.headers.find("content-type").value_or(""))] {
    return face == Face::binding ? read_binding_request(body, type, query)
                                 : read_run_request(body, type, inputs_in_query(query));
  };
  if (is_small) {
    co_return work();
  }
  const async::PoolShare share{cx.owners.pool, workspace.str()};
  co_return co_await async::blocking(share, std::move(work));
}

Task<void> answer_whole(Context& cx, net::HttpExchange& exchange, const Chosen& chosen,
                        const Asked& asked, Whole whole) {
  if (!chosen.known) {
    Json result = result_of_server(whole.ends.front().answer, asked.request.wants_json);
    co_return co_await answer_result(exchange, asked.face, std::move(result));
  }
  const Json metrics = whole.ends.front().metrics;
  std::vector<Json> outputs;
  for (Ended& ended : whole.ends) {
    THAW_CO_TRY(Json output,
                co_await output_with_files(cx, chosen.route.spec->workspace, std::move(ended)));
    outputs.push_back(std::move(output));
  }
  const ModelTask task = chosen.task.value_or(
      task_of(asked.request.inputs, chosen.known->contract.gives, outputs.front()));
  const bool gives_file = task == ModelTask::text_to_image || task == ModelTask::text_to_speech;
  if (auto file = gives_file ? file_of(outputs.front()) : std::nullopt) {
    co_return co_await answer_bytes(exchange, std::move(file->content_type),
                                    std::move(file->bytes));
  }
  THAW_CO_TRY(Json result, result_of(task, outputs, metrics));
  co_return co_await answer_result(exchange, asked.face, std::move(result));
}

Task<void> tell(Context& cx, net::HttpExchange& exchange, Run& run, const Chosen& chosen,
                const Asked& asked) {
  if (asked.request.streams) {
    NativeWording wording;
    co_return co_await stream_run(run, exchange, wording);
  }
  THAW_CO_TRY(Whole whole, co_await run.whole());
  co_return co_await answer_whole(cx, exchange, chosen, asked, std::move(whole));
}

Task<void> serve(Context& cx, gateway::Identity who, net::HttpExchange& exchange, Asked asked) {
  const auto chosen = choose(cx, who, asked.name);
  if (!chosen) {
    co_return co_await answer_refusal(exchange, asked.face, no_such_model(asked.name));
  }
  THAW_CO_TRY(Payloads payloads,
              co_await make_payloads(cx, who.workspace, *chosen, asked.request, asked.bytes));
  if (asked.request.streams && payloads.bytes.size() > 1) {
    co_return Error::invalid_argument("stream: takes one text at a time");
  }
  WithRun body = [&](Run& run) { return tell(cx, exchange, run, *chosen, asked); };
  co_return co_await with_run(cx, exchange, *chosen, std::move(payloads), std::move(body));
}

Task<void> serve_from(Context& cx, gateway::Identity who, net::HttpExchange& exchange, Face face,
                      std::string name) {
  THAW_CO_TRY(std::string body, co_await exchange.read_all(most_body_bytes));
  Asked asked;
  asked.face = face;
  asked.name = std::move(name);
  asked.bytes = body.size();
  THAW_CO_TRY(asked.request,
              co_await read(cx, who.workspace, face, std::move(body), exchange.request()));
  co_return co_await serve(cx, std::move(who), exchange, std::move(asked));
}

// "[PREFIX:]NAME"
std::string model_of(const net::HttpRequest& request) {
  const std::string given(request.headers.find(model_header).value_or(""));
  const std::size_t colon = given.find(':');
  const bool has_prefix = colon != std::string::npos && given.find('/') > colon;
  return has_prefix ? given.substr(colon + 1) : given;
}

}  // namespace

Task<void> serve_run(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                     std::string name) {
  return serve_from(cx, std::move(who), exchange, Face::api, std::move(name));
}

Task<void> serve_binding_run(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  if (exchange.is_websocket_upgrade()) {
    co_return Error::unimplemented("runs over a WebSocket are not served by this version of Thaw");
  }
  std::string name = model_of(exchange.request());
  if (name.empty()) {
    co_return Error::invalid_argument(
        "the header cf-consn-model-id, which names a model, is "
        "missing");
  }
  co_return co_await serve_from(cx, std::move(who), exchange, Face::binding, std::move(name));
}

}  // namespace thaw::dialect::workers_ai
