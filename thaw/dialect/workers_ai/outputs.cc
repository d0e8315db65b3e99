// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/outputs.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

constexpr int deepest = 4;  // of what an output wraps its numbers in

const Json& member(const Json& of, const char* name) {
  static const Json none;
  const auto found = of.is_object() ? of.find(name) : of.end();
  return of.is_object() && found != of.end() ? *found : none;
}

bool are_numbers(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_number(); });
}

// The first of these members that is there.
const Json& one_of(const Json& of, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const Json& found = member(of, name); !found.is_null()) {
      return found;
    }
  }
  return member(Json(), "");
}

void collect_rows(const Json& output, Json& rows, int depth) {
  if (are_numbers(output)) {
    rows.push_back(output);
  } else if (depth < deepest && output.is_array()) {
    for (const Json& one : output) {
      collect_rows(one, rows, depth + 1);
    }
  } else if (depth < deepest && output.is_object()) {
    collect_rows(one_of(output, {"embedding", "embeddings", "data", "output", "vectors"}), rows,
                 depth + 1);
  }
}

bool are_rows(const Json& output) {
  Json rows = Json::array();
  collect_rows(output, rows, 0);
  return !rows.empty();
}

// [{"label", "score"}], {"label": score} or [["label", score]].
Json labels_of(const Json& output) {
  Json labels = Json::array();
  const auto add = [&](const Json& label, const Json& score) {
    if (label.is_string() && score.is_number()) {
      labels.push_back({{"label", label}, {"score", score}});
    }
  };
  if (output.is_array()) {
    for (const Json& one : output) {
      if (one.is_object()) {
        add(one_of(one, {"label", "class", "name"}), one_of(one, {"score", "confidence"}));
      } else if (one.is_array() && one.size() == 2) {
        add(one[0], one[1]);
      }
    }
  } else if (output.is_object() && output.contains("label")) {
    add(output["label"], member(output, "score"));
  } else if (output.is_object()) {
    for (const auto& [label, score] : output.items()) {
      add(label, score);
    }
  }
  std::stable_sort(labels.begin(), labels.end(), [](const Json& a, const Json& b) {
    return a["score"].get<double>() > b["score"].get<double>();
  });
  return labels;
}

std::size_t words_in(const std::string& text) {
  std::istringstream words(text);
  std::string word;
  std::size_t count = 0;
  while (words >> word) {
    ++count;
  }
  return count;
}

Json transcription_of(const Json& output) {
  const std::string text = text_of(
      output.is_object() ? one_of(output, {"text", "transcription", "transcript"}) : output);
  Json result = {{"text", text}, {"word_count", words_in(text)}};
  for (const char* name : {"words", "segments", "vtt"}) {
    if (const Json& more = member(output, name); !more.is_null()) {
      result[name] = more;
    }
  }
  return result;
}

Error not_of(ModelTask task) {
  return Error::failed_precondition("what the model has given is no output of " +
                                    std::string(words_of(task).name));
}

// {"id", "function": {"name", "arguments": "…"}} as {"name", "arguments": {…}}.
Json call_of(const Json& call) {
  const Json& function = member(call, "function");
  const Json& given = member(function, "arguments");
  auto parsed = given.is_string() ? codec::parse_json(given.get_ref<const std::string&>())
                                  : Result<Json>(given);
  Json out = {{"name", member(function, "name")}, {"arguments", parsed ? *parsed : given}};
  if (const Json& id = member(call, "id"); id.is_string()) {
    out["id"] = id;
  }
  return out;
}

}  // namespace

ModelTask task_of(const Json& given, Contract::Gives gives, const Json& output) {
  if (given.contains("audio")) {
    return ModelTask::speech_recognition;
  }
  const bool has_words = given.contains("prompt") || given.contains("messages");
  const bool is_file = gives == Contract::Gives::file || file_of(output).has_value();
  if (has_words) {
    return is_file ? ModelTask::text_to_image : ModelTask::text_generation;
  }
  if (given.contains("image")) {
    return labels_of(output).empty() ? ModelTask::image_to_text : ModelTask::image_classification;
  }
  if (given.contains("input_text")) {
    return ModelTask::summarization;
  }
  if (given.contains("target_lang")) {
    return ModelTask::translation;
  }
  if (given.contains("text")) {
    return is_file                      ? ModelTask::text_to_speech
           : are_rows(output)           ? ModelTask::text_embeddings
           : !labels_of(output).empty() ? ModelTask::text_classification
                                        : ModelTask::text_generation;
  }
  return is_file ? ModelTask::text_to_image : ModelTask::text_generation;
}

std::string text_of(const Json& output) {
  if (output.is_string()) {
    return output.get<std::string>();
  }
  const bool is_pieces =
      output.is_array() &&
      std::all_of(output.begin(), output.end(), [](const Json& one) { return one.is_string(); });
  if (is_pieces) {
    std::string text;
    for (const Json& piece : output) {
      text += piece.get_ref<const std::string&>();
    }
    return text;
  }
  return output.is_null() ? std::string() : codec::dump_json(output);
}

std::optional<codec::DataUrl> file_of(const Json& output) {
  const Json& one = output.is_array() && !output.empty() ? output.front() : output;
  if (!one.is_string() || !one.get_ref<const std::string&>().starts_with("data:")) {
    return std::nullopt;
  }
  return codec::read_data_url(one.get_ref<const std::string&>());
}

Result<Json> embeddings_of(const std::vector<Json>& outputs) {
  Json rows = Json::array();
  for (const Json& output : outputs) {
    collect_rows(output, rows, 0);
  }
  if (rows.empty()) {
    return not_of(ModelTask::text_embeddings);
  }
  return rows;
}

Json usage_of(const Json& metrics) {
  const Json& in = one_of(metrics, {"input_token_count", "prompt_tokens"});
  const Json& out = one_of(metrics, {"output_token_count", "completion_tokens"});
  if (!in.is_number_integer() || !out.is_number_integer()) {
    return {};
  }
  return {{"prompt_tokens", in},
          {"completion_tokens", out},
          {"total_tokens", in.get<std::int64_t>() + out.get<std::int64_t>()}};
}

Result<Json> result_of(ModelTask task, const std::vector<Json>& outputs, const Json& metrics) {
  const Json& first = outputs.empty() ? member(Json(), "") : outputs.front();
  switch (task) {
    case ModelTask::text_embeddings: {
      THAW_TRY(Json rows, embeddings_of(outputs));
      return Json{{"shape", {rows.size(), rows.front().size()}}, {"data", std::move(rows)}};
    }
    case ModelTask::text_classification:
    case ModelTask::image_classification: {
      Json labels = labels_of(first);
      return labels.empty() ? Result<Json>(not_of(task)) : Result<Json>(std::move(labels));
    }
    case ModelTask::object_detection:
      return first.is_array() ? Result<Json>(first) : Result<Json>(not_of(task));
    case ModelTask::speech_recognition: return transcription_of(first);
    case ModelTask::translation:
      return Json{
          {"translated_text",
           text_of(first.is_object() ? one_of(first, {"translated_text", "translation", "text"})
                                     : first)}};
    case ModelTask::summarization: return Json{{"summary", text_of(first)}};
    case ModelTask::image_to_text: return Json{{"description", text_of(first)}};
    case ModelTask::text_to_speech:
    case ModelTask::text_to_image: return first;
    case ModelTask::text_generation: break;
  }
  Json result = first.is_object() ? first : Json{{"response", text_of(first)}};
  if (Json usage = usage_of(metrics); !usage.is_null()) {
    result["usage"] = std::move(usage);
  }
  return result;
}

Json result_of_server(const Json& answer, bool wants_json) {
  if (const Json& data = member(answer, "data"); data.is_array()) {
    Json rows = Json::array();
    collect_rows(data, rows, 0);
    return {{"shape", {rows.size(), rows.empty() ? 0 : rows.front().size()}},
            {"data", std::move(rows)}};
  }
  const Json& choices = member(answer, "choices");
  const Json choice = choices.is_array() && !choices.empty() ? choices.front() : Json();
  const Json& message = member(choice, "message");
  const Json& content = message.is_null() ? member(choice, "text") : member(message, "content");
  Json result = {{"response", content.is_null() ? Json("") : content}};
  if (wants_json && content.is_string()) {
    if (auto parsed = codec::parse_json(content.get_ref<const std::string&>())) {
      result["response"] = std::move(*parsed);
    }
  }
  const Json& calls = member(message, "tool_calls");
  if (calls.is_array() && !calls.empty()) {
    result["tool_calls"] = Json::array();
    for (const Json& call : calls) {
      result["tool_calls"].push_back(call_of(call));
    }
  }
  if (const Json& usage = member(answer, "usage"); usage.is_object()) {
    result["usage"] = usage;
  }
  return result;
}

}  // namespace thaw::dialect::workers_ai
