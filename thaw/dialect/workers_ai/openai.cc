// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/openai.h"

#include <utility>

#include "thaw/codec/ids.h"
#include "thaw/dialect/workers_ai/answers.h"
#include "thaw/dialect/workers_ai/chat.h"
#include "thaw/dialect/workers_ai/completion_talk.h"
#include "thaw/dialect/workers_ai/openai_words.h"
#include "thaw/dialect/workers_ai/outputs.h"
#include "thaw/dialect/workers_ai/run.h"

namespace thaw::dialect::workers_ai {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_openai_body_bytes = 16u << 20;

struct Asked {
  Json body;
  std::size_t bytes = 0;
  AnswerNames names;
};

Task<Asked> read(net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_openai_body_bytes));
  auto json = codec::parse_json(body);
  if (!json || !json->is_object()) {
    co_return Error::invalid_argument("the body has to be a JSON object");
  }
  const auto model = json->find("model");
  if (model == json->end() || !model->is_string()) {
    co_return Error::invalid_argument("model: is required, and has to be text");
  }
  Asked asked;
  asked.bytes = body.size();
  asked.names.model = model->get<std::string>();
  asked.names.id = "chatcmpl-" + codec::random_lower(24);
  asked.names.created = static_cast<std::int64_t>(to_seconds(wall_now()));
  asked.body = std::move(*json);
  co_return asked;
}

// What a server of language models understands itself goes to it as it came.
Task<Payloads> payloads_of(Context& cx, model::WorkspaceId workspace, const Chosen& chosen,
                           const char* path, RunRequest request, const Asked& asked) {
  if (!chosen.known) {
    Payloads payloads;
    payloads.type = completion_type;
    payloads.bytes.push_back(write_completion_input(path, codec::dump_json(asked.body)));
    co_return payloads;
  }
  co_return co_await make_payloads(cx, std::move(workspace), chosen, std::move(request),
                                   asked.bytes);
}

Task<void> tell_chat(net::HttpExchange& exchange, Run& run, const Asked& asked, bool streams) {
  if (streams) {
    ChatWording wording(asked.names);
    co_return co_await stream_run(run, exchange, wording);
  }
  THAW_CO_TRY(const Whole whole, co_await run.whole());
  co_return co_await answer_json(exchange, 200, chat_answer(asked.names, whole.ends.front()));
}

Task<void> tell_embeddings(net::HttpExchange& exchange, Run& run, const Asked& asked) {
  THAW_CO_TRY(const Whole whole, co_await run.whole());
  if (!whole.ends.front().answer.is_null()) {
    co_return co_await answer_json(exchange, 200, chat_answer(asked.names, whole.ends.front()));
  }
  std::vector<Json> outputs;
  for (const Ended& ended : whole.ends) {
    outputs.push_back(ended.output);
  }
  THAW_CO_TRY(const Json rows, embeddings_of(outputs));
  co_return co_await answer_json(exchange, 200, embeddings_answer(asked.names, rows));
}

}  // namespace

Task<void> serve_chat(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const Asked asked, co_await read(exchange));
  const auto chosen = choose(cx, who, asked.names.model);
  if (!chosen) {
    co_return co_await answer_refusal(exchange, Face::api, no_such_model(asked.names.model));
  }
  const Json messages = asked.body.value("messages", Json());
  THAW_CO_TRY([[maybe_unused]] const Chat chat, read_chat(messages));
  Json inputs = asked.body;
  inputs.erase("model");
  if (inputs.contains("max_completion_tokens")) {
    inputs.emplace("max_tokens", inputs["max_completion_tokens"]);
  }
  THAW_CO_TRY(RunRequest request, run_request_of(std::move(inputs)));
  const bool streams = request.streams;
  THAW_CO_TRY(Payloads payloads,
              co_await payloads_of(cx, who.workspace, *chosen, "/v1/chat/completions",
                                   std::move(request), asked));
  WithRun body = [&](Run& run) { return tell_chat(exchange, run, asked, streams); };
  co_return co_await with_run(cx, exchange, *chosen, std::move(payloads), std::move(body));
}

Task<void> serve_embeddings(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const Asked asked, co_await read(exchange));
  const auto chosen = choose(cx, who, asked.names.model);
  if (!chosen) {
    co_return co_await answer_refusal(exchange, Face::api, no_such_model(asked.names.model));
  }
  if (!asked.body.contains("input")) {
    co_return Error::invalid_argument("input: is required");
  }
  THAW_CO_TRY(RunRequest request, run_request_of({{"text", asked.body["input"]}}));
  THAW_CO_TRY(Payloads payloads, co_await payloads_of(cx, who.workspace, *chosen, "/v1/embeddings",
                                                      std::move(request), asked));
  WithRun body = [&](Run& run) { return tell_embeddings(exchange, run, asked); };
  co_return co_await with_run(cx, exchange, *chosen, std::move(payloads), std::move(body));
}

}  // namespace thaw::dialect::workers_ai
