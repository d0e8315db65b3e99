// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/server_request.h"

#include <utility>

#include "thaw/dialect/workers_ai/chat.h"

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

// What means the same on both sides.
constexpr const char* same_words[] = {"max_tokens",
                                      "temperature",
                                      "top_p",
                                      "top_k",
                                      "seed",
                                      "repetition_penalty",
                                      "stop",
                                      "frequency_penalty",
                                      "presence_penalty",
                                      "tool_choice"};

// Tools come with their function inside, or flat.
Json tools_of(const Json& tools) {
  Json out = Json::array();
  for (const Json& tool : tools.is_array() ? tools : Json::array()) {
    const bool is_wrapped = tool.is_object() && tool.contains("function");
    out.push_back(is_wrapped ? tool : Json{{"type", "function"}, {"function", tool}});
  }
  return out;
}

// A schema comes bare, or as servers want it.
Json format_of(const Json& format) {
  Json out = format;
  if (format.is_object() && format.value("type", Json()) == "json_schema" &&
      format.contains("json_schema") && format["json_schema"].is_object() &&
      !format["json_schema"].contains("schema")) {
    out["json_schema"] = {{"name", "answer"}, {"schema", format["json_schema"]}};
  }
  return out;
}

Result<ServerRequest> embeddings_of(const Json& text, const std::string& model) {
  if (!text.is_string() && !text.is_array()) {
    return Error::invalid_argument("text: has to be text, or a list of texts");
  }
  return ServerRequest{"/v1/embeddings", {{"model", model}, {"input", text}}};
}

}  // namespace

Result<ServerRequest> server_request(const Json& given, const std::string& model, bool streams) {
  if (!given.is_object()) {
    return Error::invalid_argument("the inputs have to be a JSON object");
  }
  ServerRequest request{"/v1/chat/completions", {{"model", model}, {"stream", streams}}};
  if (given.contains("messages")) {
    THAW_TRY([[maybe_unused]] const Chat chat, read_chat(given["messages"]));
    request.body["messages"] = given["messages"];
  } else if (given.contains("prompt")) {
    if (!given["prompt"].is_string()) {
      return Error::invalid_argument("prompt: has to be text");
    }
    if (given.value("raw", Json()) == true) {
      request.path = "/v1/completions";
      request.body["prompt"] = given["prompt"];
    } else {
      request.body["messages"] = Json::array({{{"role", "user"}, {"content", given["prompt"]}}});
    }
  } else if (given.contains("text") && !given.contains("target_lang")) {
    return embeddings_of(given["text"], model);
  } else {
    return Error::unimplemented(
        "a server without a schema answers prompt, messages and text; push a model with a cog.yaml "
        "for other tasks");
  }
  if (streams) {
    request.body["stream_options"] = {{"include_usage", true}};
  }
  for (const char* name : same_words) {
    if (given.contains(name) && !given[name].is_null()) {
      request.body[name] = given[name];
    }
  }
  if (given.contains("tools") && given["tools"].is_array() && !given["tools"].empty()) {
    request.body["tools"] = tools_of(given["tools"]);
  }
  if (given.contains("response_format")) {
    request.body["response_format"] = format_of(given["response_format"]);
  }
  return request;
}

}  // namespace thaw::dialect::workers_ai
