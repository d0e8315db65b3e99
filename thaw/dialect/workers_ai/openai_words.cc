// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/openai_words.h"

#include <utility>

#include "thaw/dialect/workers_ai/outputs.h"

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

Json named(Json answer, const AnswerNames& names) {
  if (answer.is_object()) {
    answer["model"] = names.model;
  }
  return answer;
}

}  // namespace

Json chat_answer(const AnswerNames& names, const Ended& ended) {
  if (!ended.answer.is_null()) {
    return named(ended.answer, names);
  }
  Json answer = {
      {"id", names.id},
      {"object", "chat.completion"},
      {"created", names.created},
      {"model", names.model},
      {"choices",
       Json::array({{{"index", 0},
                     {"message", {{"role", "assistant"}, {"content", text_of(ended.output)}}},
                     {"finish_reason", "stop"}}})}};
  if (Json usage = usage_of(ended.metrics); !usage.is_null()) {
    answer["usage"] = std::move(usage);
  }
  return answer;
}

Json embeddings_answer(const AnswerNames& names, const Json& rows) {
  Json data = Json::array();
  for (const Json& row : rows) {
    data.push_back({{"object", "embedding"}, {"index", data.size()}, {"embedding", row}});
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", names.model},
          {"usage", {{"prompt_tokens", 0}, {"total_tokens", 0}}}};
}

Json ChatWording::chunk(Json delta, Json finish) const {
  return {
      {"id", names_.id},
      {"object", "chat.completion.chunk"},
      {"created", names_.created},
      {"model", names_.model},
      {"choices",
       Json::array(
           {{{"index", 0}, {"delta", std::move(delta)}, {"finish_reason", std::move(finish)}}})}};
}

std::string ChatWording::piece(const Told& told) {
  if (!told.chunk.is_null()) {
    is_servers_ = true;
    return codec::dump_json(named(told.chunk, names_));
  }
  Json delta = {{"content", told.text}};
  if (std::exchange(is_first_, false)) {
    delta["role"] = "assistant";
  }
  return codec::dump_json(chunk(std::move(delta), nullptr));
}

std::string ChatWording::end(const Ended& ended, std::size_t pieces) {
  if (is_servers_) {
    return {};
  }
  std::string text;
  if (pieces == 0 && !ended.answer.is_null()) {
    // It has given all at once, although it was asked for pieces.
    const Json whole = result_of_server(ended.answer, false);
    text = event_of(codec::dump_json(
        chunk({{"role", "assistant"}, {"content", text_of(whole["response"])}}, nullptr)));
  } else if (pieces == 0) {
    text = event_of(codec::dump_json(
        chunk({{"role", "assistant"}, {"content", text_of(ended.output)}}, nullptr)));
  }
  Json last = chunk(Json::object(), "stop");
  if (Json usage = usage_of(ended.metrics); !usage.is_null()) {
    last["usage"] = std::move(usage);
  }
  return text + event_of(codec::dump_json(last));
}

}  // namespace thaw::dialect::workers_ai
