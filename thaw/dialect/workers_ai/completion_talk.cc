// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/completion_talk.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "thaw/codec/json.h"
#include "thaw/codec/utf8.h"

namespace thaw::dialect::workers_ai {

using control::Reply;
using model::OutcomeKind;

namespace {

constexpr std::size_t most_answer_bytes = 64u << 20;
constexpr std::size_t most_event_bytes = 4u << 20;
constexpr std::size_t most_told_of_failure = 2'000;

Reply failed(Reply::Server server, OutcomeKind kind, std::string why) {
  return {server, model::failed(kind, {.type = model::failure_type::no_answer,
                                       .message = codec::valid_utf8(why)})};
}

// A stream that goes on until its connection is closed looks whole when its server has died.
bool says_end(std::string_view data, const Result<codec::Json>& json) {
  if (data == "[DONE]") {
    return true;
  }
  const codec::Json* const choices =
      json && json->is_object() && json->contains("choices") ? &(*json)["choices"] : nullptr;
  return choices != nullptr && choices->is_array() &&
         std::any_of(choices->begin(), choices->end(), [](const codec::Json& one) {
           return one.is_object() && one.contains("finish_reason") &&
                  !one["finish_reason"].is_null();
         });
}

}  // namespace

std::string write_completion_input(std::string_view path, std::string_view body) {
  return std::string(path) + "\n" + std::string(body);
}

Result<CompletionEnding> read_completion_ending(std::string_view bytes) {
  const std::size_t line = std::min(bytes.find('\n'), bytes.size());
  CompletionEnding ending;
  const auto [rest, wrong] = std::from_chars(bytes.data(), bytes.data() + line, ending.status);
  if (wrong != std::errc() || rest != bytes.data() + line) {
    return Error::data_loss("this is no end of a completion");
  }
  ending.body = bytes.substr(std::min(line + 1, bytes.size()));
  return ending;
}

std::unique_ptr<control::Conversation> CompletionTalk::begin(const queue::LeasedInput& input) {
  return std::make_unique<CompletionConversation>(input.payload.bytes);
}

CompletionConversation::CompletionConversation(std::string_view input) : events_(most_event_bytes) {
  const std::size_t line = std::min(input.find('\n'), input.size());
  path_ = input.substr(0, line);
  body_ = input.substr(std::min(line + 1, input.size()));
}

Result<codec::HttpRequestMessage> CompletionConversation::request() {
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = path_;
  request.headers = {{"content-type", "application/json"},
                     {"accept", "application/json, text/event-stream"}};
  request.body = body_;
  return request;
}

Result<std::string> CompletionConversation::take(std::string_view piece) {
  if (is_first_ && !piece.empty()) {
    is_first_ = false;
    // Each line of a stream has a name, or is a comment.
    is_plain_ = piece.front() != 'd' && piece.front() != 'e' && piece.front() != ':' &&
                piece.front() != 'i' && piece.front() != '\n' && piece.front() != '\r';
  }
  if (is_plain_) {
    if (plain_.size() + piece.size() > most_answer_bytes) {
      return Error::resource_exhausted("the answer is larger than " +
                                       std::to_string(most_answer_bytes) + " bytes");
    }
    plain_ += piece;
    return std::string();
  }
  THAW_TRY(const std::vector<codec::SseEvent> events, events_.take(piece));
  std::string told;
  for (const codec::SseEvent& event : events) {
    // What is no JSON is a mark of the end; what has neither says nothing.
    const auto json = codec::parse_json(event.data);
    has_ended_ = has_ended_ || says_end(event.data, json);
    if (json && json->is_object() && (json->contains("choices") || json->contains("usage"))) {
      told += codec::dump_json(*json) + "\n";
    }
  }
  return told;
}

async::Task<Reply> CompletionConversation::end(Result<int> status) {
  if (!status) {
    co_return failed(Reply::Server::doubtful, OutcomeKind::failure,
                     "its server has ended its answer before its end: " + status.error().message());
  }
  if (*status >= 500) {
    co_return failed(Reply::Server::doubtful, OutcomeKind::failure,
                     "its server answers " + std::to_string(*status) + ": " +
                         plain_.substr(0, most_told_of_failure));
  }
  if (!is_first_ && !is_plain_ && !has_ended_) {
    co_return failed(Reply::Server::doubtful, OutcomeKind::failure,
                     "its server has ended its answer before its end");
  }
  Reply reply;
  reply.outcome.kind = OutcomeKind::success;
  reply.outcome.payload = {std::to_string(*status) + "\n" + plain_, completion_type};
  co_return reply;
}

}  // namespace thaw::dialect::workers_ai
