// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/cog_talk.h"

#include <utility>
#include <vector>

#include "thaw/codec/data_url.h"
#include "thaw/codec/utf8.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;
using control::Reply;
using model::OutcomeKind;

namespace {

constexpr std::size_t most_answer_bytes = 192u << 20;  // with its files in base64
constexpr std::size_t most_output_piece = 128u << 10;  // what is more is told at the end
constexpr std::size_t most_logs_told = 1u << 20;
constexpr std::size_t most_logs_kept = 128u << 10;  // with the result
constexpr std::size_t largest_inline_file = 64u << 10;
constexpr std::size_t most_files = 1'000;
// A prediction that was cancelled for what it says goes on saying it, and may do so to its end.
constexpr Duration goes_on_for = std::chrono::minutes(10);
// What the server says of a prediction whose predictor has died by it.
constexpr std::string_view crashed = "Worker crashed";

std::string text_of(const Json& json, const char* name) {
  const auto found = json.is_object() ? json.find(name) : json.end();
  return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>()
                                                                       : std::string();
}

// The last of them, from the beginning of a line.
std::string end_of_logs(std::string logs) {
  if (logs.size() <= most_logs_kept) {
    return logs;
  }
  const std::size_t cut = logs.size() - most_logs_kept;
  const std::size_t line = std::min(logs.find('\n', cut), logs.size() - 1) + 1;
  return codec::valid_utf8("(" + std::to_string(line) + " bytes before this are left out)\n" +
                           logs.substr(line));
}

struct FileInOutput {
  std::string pointer;
  std::string url;
};

// Takes the large files out of a value, and puts null in their places.
void take_files(Json& value, const std::string& pointer, std::vector<FileInOutput>& files) {
  if (value.is_string()) {
    auto& text = value.get_ref<std::string&>();
    if (text.size() > largest_inline_file && text.starts_with("data:") &&
        files.size() < most_files) {
      files.push_back({pointer, std::move(text)});
      value = nullptr;
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      take_files(value[i], pointer + "/" + std::to_string(i), files);
    }
  } else if (value.is_object()) {
    for (const auto& [name, member] : value.items()) {
      Json::json_pointer place(pointer);
      place.push_back(name);
      take_files(member, place.to_string(), files);
    }
  }
}

}  // namespace

std::unique_ptr<control::Conversation> CogTalk::begin(const queue::LeasedInput& input) {
  return std::make_unique<CogConversation>(pool_, blobs_, input);
}

CogConversation::CogConversation(async::Pool& pool, store::BlobStore& blobs,
                                 const queue::LeasedInput& input)
    : pool_(pool),
      blobs_(blobs),
      workspace_(input.workspace),
      path_("/predictions/" + input.call.str()),
      body_(input.payload.bytes),
      wants_stream_(input.payload.content_type != gateway::whole_prediction_type),
      events_(most_answer_bytes) {}

Result<codec::HttpRequestMessage> CogConversation::request() {
  plain_.clear();
  is_plain_ = false;
  is_first_ = true;
  codec::HttpRequestMessage request;
  request.method = "PUT";
  request.target = path_;
  request.headers = {{"content-type", "application/json"},
                     {"accept", wants_stream_ ? "text/event-stream" : "application/json"}};
  request.body = body_;
  return request;
}

std::optional<codec::HttpRequestMessage> CogConversation::leave() {
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = path_ + "/cancel";
  return request;
}

Result<std::string> CogConversation::take(std::string_view piece) {
  if (is_first_ && !piece.empty()) {
    is_first_ = false;
    is_plain_ = piece.front() == '{' || piece.front() == '[';
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
    told += told_of(event);
  }
  return told;
}

std::string CogConversation::told_of(const codec::SseEvent& event) {
  const bool is_known = event.name == "output" || event.name == "log" ||
                        event.name == "completed" || event.name == "error";
  auto data = is_known ? codec::parse_json(event.data) : Result<Json>(Json());
  if (!data || !data->is_object()) {
    return {};
  }
  if (event.name == "completed") {
    completed_ = std::move(*data);
    return {};
  }
  if (event.name == "error") {
    has_lost_events_ = has_lost_events_ || data->contains("skipped");
    return {};
  }
  if (event.name == "output") {
    skips_outputs_ = skips_outputs_ || event.data.size() > most_output_piece;
    const auto chunk = data->find("chunk");
    return skips_outputs_ || chunk == data->end()
               ? std::string()
               : gateway::write_item({gateway::Item::Kind::output, std::move(*chunk), {}});
  }
  std::string text = text_of(*data, "data");
  if (logs_told_ > most_logs_told || text.empty()) {
    return {};
  }
  logs_told_ += text.size();
  if (logs_told_ > most_logs_told) {
    text = "(what is printed from here on is left out)\n";
  }
  return gateway::write_item({gateway::Item::Kind::logs, {}, std::move(text)});
}

Reply CogConversation::failed(Reply::Server server, OutcomeKind kind, std::string why) const {
  return {server, model::failed(kind, {.type = model::failure_type::no_answer,
                                       .message = codec::valid_utf8(why)})};
}

// Of a request that it has not begun.
Reply CogConversation::refused(int status) {
  const auto json = codec::parse_json(plain_);
  const std::string said = json ? text_of(*json, "error") : std::string();
  if (status == 406 && wants_stream_) {
    wants_stream_ = false;
    return failed(Reply::Server::busy, OutcomeKind::failure, "its server has no stream");
  }
  if (status == 409) {
    Reply reply = failed(Reply::Server::busy, OutcomeKind::internal_failure,
                         "its server says that it has no room: " + said);
    reply.busy_for = has_lost_events_ ? goes_on_for : reply.busy_for;
    return reply;
  }
  if (status == 422) {
    gateway::Ending ending;
    ending.status = "failed";
    const bool has_details = json && json->is_object() && json->contains("detail");
    ending.error = "the model does not take this input: " +
                   (has_details ? codec::dump_json((*json)["detail"]) : said);
    return {
        Reply::Server::well,
        {OutcomeKind::failure, {gateway::write_ending(ending), gateway::prediction_type}, nullptr}};
  }
  return failed(status == 503 ? Reply::Server::useless : Reply::Server::doubtful,
                status == 503 ? OutcomeKind::internal_failure : OutcomeKind::failure,
                "its server answers " + std::to_string(status) + ": " + said);
}

Task<Reply> CogConversation::end(Result<int> status) {
  if (!completed_.is_null()) {
    co_return co_await ended();
  }
  if (!status) {
    co_return status.error();
  }
  if (*status >= 300) {
    co_return refused(*status);
  }
  auto json = is_plain_ ? codec::parse_json(plain_) : Result<Json>(Json());
  if (json && json->is_object() && json->contains("status")) {
    completed_ = std::move(*json);
    co_return co_await ended();
  }
  if (has_lost_events_ && wants_stream_) {
    // What it says comes faster than its own stream takes it; then it cancels the prediction.
    // TODO(someday): one PUT for the whole answer, which a slow reader does not end, and a second
    // one of the same id for the stream, with an input that no schema takes: it joins what runs,
    // and is refused once that has ended. Then nothing runs twice.
    wants_stream_ = false;
    path_ += "-whole";
    Reply reply = failed(Reply::Server::busy, OutcomeKind::failure,
                         "its server has lost a part of what the prediction has said");
    reply.busy_for = goes_on_for;
    co_return reply;
  }
  co_return failed(Reply::Server::doubtful, OutcomeKind::failure,
                   "its server has ended its answer before the prediction had ended");
}

Task<Reply> CogConversation::ended() {
  gateway::Ending ending;
  ending.status = text_of(completed_, "status");
  ending.logs = end_of_logs(text_of(completed_, "logs"));
  if (const auto error = completed_.find("error"); error != completed_.end()) {
    ending.error = *error;
  }
  if (const auto metrics = completed_.find("metrics");
      metrics != completed_.end() && metrics->is_object()) {
    ending.metrics = *metrics;
  }
  if (const auto output = completed_.find("output"); output != completed_.end()) {
    ending.output = std::move(*output);
  }
  Reply reply;
  reply.outcome.kind = OutcomeKind::success;
  if (ending.status == "canceled") {
    reply.outcome.kind = OutcomeKind::terminated;
  } else if (ending.status != "succeeded") {
    ending.status = "failed";
    reply.outcome.kind = OutcomeKind::failure;
    reply.server = Reply::Server::doubtful;
    if (ending.error == std::string(crashed)) {
      reply.server = Reply::Server::useless;
      ending.error =
          "the predictor has ended in the middle of the prediction; what it printed is "
          "in the model's log";
    }
  }
  THAW_CO_TRY_VOID(co_await put_files_aside(ending));
  reply.outcome.payload = {gateway::write_ending(ending), gateway::prediction_type};
  co_return reply;
}

Task<void> CogConversation::put_files_aside(gateway::Ending& ending) {
  std::vector<FileInOutput> files;
  take_files(ending.output, "", files);
  for (FileInOutput& file : files) {
    const async::PoolShare share{pool_, workspace_.str()};
    auto decode = [url = std::move(file.url)] {
      return Result<std::optional<codec::DataUrl>>(codec::read_data_url(url));
    };
    THAW_CO_TRY(std::optional<codec::DataUrl> decoded,
                co_await async::blocking(share, std::move(decode)));
    if (!decoded) {
      continue;  // no file: nobody could read it
    }
    gateway::OutputFile one{.content_type = std::move(decoded->content_type)};
    THAW_CO_TRY(const store::StoredBlob blob,
                co_await blobs_.put(workspace_.str(), std::move(decoded->bytes)));
    one.sha256_hex = blob.sha256_hex;
    one.size = blob.size;
    ending.files.emplace(std::move(file.pointer), std::move(one));
  }
  co_return ok();
}

}  // namespace thaw::dialect::replicate
