// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/run_request.h"

#include <utility>
#include <vector>

#include "thaw/codec/multipart.h"
#include "thaw/dialect/workers_ai/file_value.h"

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

constexpr std::size_t most_parts = 100;

bool looks_like_json(std::string_view body) {
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
}

// A number or a choice is itself in a form too.
Json value_of(std::string text) {
  const auto json = text.size() < 64 ? codec::parse_json(text) : Result<Json>(Json());
  return json && (json->is_number() || json->is_boolean()) ? *json : Json(std::move(text));
}

Result<Json> read_form(std::string_view body, std::string_view content_type) {
  THAW_TRY(codec::MultipartReader reader, codec::MultipartReader::of_type(content_type));
  THAW_TRY(std::vector<codec::PartEvent> events, reader.take(body));
  if (!reader.is_done()) {
    return Error::invalid_argument("the form ends before its last part");
  }
  Json inputs = Json::object();
  codec::PartHead head;
  std::string bytes;
  for (codec::PartEvent& event : events) {
    switch (event.kind) {
      case codec::PartEvent::Kind::begin:
        head = std::move(event.head);
        bytes.clear();
        break;
      case codec::PartEvent::Kind::bytes: bytes += event.bytes; break;
      case codec::PartEvent::Kind::end:
        if (inputs.size() >= most_parts) {
          return Error::invalid_argument("the form has more than " + std::to_string(most_parts) +
                                         " parts");
        }
        inputs[head.name] = head.file_name.empty() ? value_of(std::move(bytes))
                                                   : Json(file_address(bytes, head.content_type));
        break;
    }
  }
  return inputs;
}

// The field that a file is meant for, by what it says to be or how it begins.
Json read_file(std::string_view body, std::string_view content_type) {
  const bool says_nothing = content_type.starts_with("application/");
  const std::string address = file_address(body, says_nothing ? "" : content_type);
  const bool is_image = address.starts_with("data:image/");
  return {{is_image ? "image" : "audio", address}};
}

Result<Json> read_inputs(std::string_view body, std::string_view content_type) {
  if (content_type.starts_with("multipart/")) {
    return read_form(body, content_type);
  }
  if (content_type.starts_with("application/json") || looks_like_json(body)) {
    auto json = codec::parse_json(body);
    return json ? std::move(json)
                : Result<Json>(
                      Error::invalid_argument("the body is no JSON: " + json.error().message()));
  }
  return read_file(body, content_type);
}

}  // namespace

Result<RunRequest> run_request_of(Json inputs) {
  if (!inputs.is_object()) {
    return Error::invalid_argument("the inputs have to be a JSON object");
  }
  RunRequest request;
  if (const auto streams = inputs.find("stream"); streams != inputs.end()) {
    if (!streams->is_boolean() && !streams->is_null()) {
      return Error::invalid_argument("stream: has to be true or false");
    }
    request.streams = streams->is_boolean() && streams->get<bool>();
    inputs.erase(streams);
  }
  if (const auto format = inputs.find("response_format"); format != inputs.end()) {
    const Json type = format->is_object() ? format->value("type", Json()) : Json();
    request.wants_json = type == "json_object" || type == "json_schema";
  }
  if (inputs.value("queueRequest", Json()) == true) {
    return Error::unimplemented("queueRequest: batches are not served by this version of Thaw");
  }
  request.inputs = std::move(inputs);
  return request;
}

Result<RunRequest> read_run_request(std::string_view body, std::string_view content_type,
                                    Json more) {
  if (body.empty()) {
    return Error::invalid_argument("the body is missing");
  }
  THAW_TRY(Json inputs, read_inputs(body, content_type));
  if (inputs.is_object() && more.is_object()) {
    for (const auto& [name, value] : more.items()) {
      inputs.emplace(name, value);
    }
  }
  return run_request_of(std::move(inputs));
}

}  // namespace thaw::dialect::workers_ai
