// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/told.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/utf8.h"
#include "thaw/dialect/workers_ai/completion_talk.h"
#include "thaw/dialect/workers_ai/outputs.h"

namespace thaw::dialect::workers_ai {

using codec::Json;
using model::OutcomeKind;

namespace {

constexpr std::size_t longest_reason = 2'000;

const Json& member(const Json& of, const char* name) {
  static const Json none;
  const auto found = of.is_object() ? of.find(name) : of.end();
  return of.is_object() && found != of.end() ? *found : none;
}

Told told_in(Json chunk) {
  Told told;
  const Json& choices = member(chunk, "choices");
  const Json choice = choices.is_array() && !choices.empty() ? choices.front() : Json();
  const Json& delta = member(choice, "delta");
  const Json& content = delta.is_null() ? member(choice, "text") : member(delta, "content");
  told.text = content.is_string() ? content.get<std::string>() : std::string();
  if (const Json& calls = member(delta, "tool_calls"); calls.is_array() && !calls.empty()) {
    told.tool_calls = calls;
  }
  if (const Json& why = member(choice, "finish_reason"); why.is_string()) {
    told.finish = why.get<std::string>();
  }
  if (const Json& usage = member(chunk, "usage"); usage.is_object()) {
    told.usage = usage;
  }
  told.chunk = std::move(chunk);
  return told;
}

std::string reason_of(const Json& error) {
  return codec::valid_utf8((error.is_string() ? error.get<std::string>() : codec::dump_json(error))
                               .substr(0, longest_reason));
}

// Of what the platform says of an end.
Error error_of(const model::LogEntry& entry) {
  const std::string why =
      entry.failure ? codec::valid_utf8(entry.failure->message) : std::string("it has failed");
  switch (entry.outcome) {
    case OutcomeKind::timeout:
    case OutcomeKind::expired: return Error::deadline_exceeded(why);
    case OutcomeKind::terminated: return Error::cancelled("the run was cancelled: " + why);
    case OutcomeKind::internal_failure: return Error::unavailable(why);
    default: return Error::aborted(why);
  }
}

Result<Ended> end_of_model(const model::LogEntry& entry) {
  THAW_TRY(gateway::Ending ending, gateway::read_ending(entry.payload.bytes));
  if (entry.outcome != OutcomeKind::success) {
    return ending.error.is_null()
               ? error_of(entry)
               : Error::aborted("the model has failed: " + reason_of(ending.error));
  }
  Ended ended;
  ended.output = std::move(ending.output);
  ended.metrics = std::move(ending.metrics);
  ended.files = std::move(ending.files);
  return ended;
}

Result<Ended> end_of_server(const model::LogEntry& entry) {
  THAW_TRY(const CompletionEnding ending, read_completion_ending(entry.payload.bytes));
  Ended ended;
  auto json = codec::parse_json(ending.body);
  if (ending.status >= 300) {
    const Json& error = json ? member(*json, "error") : ended.answer;
    const Json& message = member(error, "message");
    return Error::invalid_argument(
        "its server answers " + std::to_string(ending.status) + ": " +
        (message.is_string() ? reason_of(message)
         : error.is_string() ? reason_of(error)
                             : codec::valid_utf8(ending.body.substr(0, longest_reason))));
  }
  if (!ending.body.empty() && !json) {
    return Error::aborted("its server answers with something that is no JSON");
  }
  ended.answer = ending.body.empty() ? Json() : std::move(*json);
  return ended;
}

}  // namespace

void each_told(const model::LogEntry& entry, const std::function<void(const Told& told)>& take) {
  if (entry.payload.content_type == gateway::pieces_type) {
    for (const gateway::Item& item : gateway::read_items(entry.payload.bytes)) {
      if (item.kind == gateway::Item::Kind::output) {
        take({text_of(item.output), {}, {}, {}, {}});
      }
    }
    return;
  }
  std::string_view bytes = entry.payload.bytes;
  while (!bytes.empty()) {
    const std::size_t line = std::min(bytes.find('\n'), bytes.size());
    if (auto chunk = codec::parse_json(bytes.substr(0, line))) {
      take(told_in(std::move(*chunk)));
    }
    bytes.remove_prefix(std::min(line + 1, bytes.size()));
  }
}

Result<Ended> read_end(const model::LogEntry& entry) {
  if (entry.payload.content_type == gateway::prediction_type) {
    return end_of_model(entry);
  }
  if (entry.outcome == OutcomeKind::success && entry.payload.content_type == completion_type) {
    return end_of_server(entry);
  }
  return error_of(entry);
}

}  // namespace thaw::dialect::workers_ai
