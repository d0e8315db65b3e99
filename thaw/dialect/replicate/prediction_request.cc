// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/prediction_request.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace thaw::dialect::replicate {

using codec::Json;

namespace {

constexpr Duration shortest_span = 5s;
constexpr Duration longest_span = 24h;

// "wait", "wait=5": other preferences are no concern of ours.
std::optional<Duration> read_wait(std::string_view prefer) {
  while (!prefer.empty()) {
    const std::size_t comma = std::min(prefer.find_first_of(",;"), prefer.size());
    std::string_view one = prefer.substr(0, comma);
    prefer.remove_prefix(std::min(comma + 1, prefer.size()));
    const std::size_t first = std::min(one.find_first_not_of(' '), one.size());
    one = one.substr(first, one.find_last_not_of(' ') + 1 - first);
    if (one == "wait") {
      return longest_wait;
    }
    if (one.starts_with("wait=")) {
      one.remove_prefix(5);
      double seconds = 0;
      const auto [rest, wrong] = std::from_chars(one.data(), one.data() + one.size(), seconds);
      const bool is_number = wrong == std::errc() && rest == one.data() + one.size();
      const double most = to_seconds(longest_wait);
      return is_number ? from_seconds(seconds > 1 ? std::min(seconds, most) : 1.0) : longest_wait;
    }
  }
  return std::nullopt;
}

Result<void> read_text(const Json& body, const char* name, std::string& out) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) {
    return ok();
  }
  if (!found->is_string()) {
    return Error::invalid_argument(std::string(name) + ": has to be text");
  }
  out = found->get<std::string>();
  return ok();
}

}  // namespace

Result<WebhookEvents> read_events(const Json& words) {
  if (!words.is_array()) {
    return Error::invalid_argument("webhook_events_filter: has to be a list");
  }
  WebhookEvents events{false, false, false, false};
  for (const Json& word : words) {
    bool* const wanted = word == "start"       ? &events.start
                         : word == "output"    ? &events.output
                         : word == "logs"      ? &events.logs
                         : word == "completed" ? &events.completed
                                               : nullptr;
    if (wanted == nullptr) {
      return Error::invalid_argument(
          "webhook_events_filter: takes start, output, logs and completed, not " +
          codec::dump_json(word).substr(0, 50));
    }
    *wanted = true;
  }
  return words.empty() ? WebhookEvents() : events;
}

Json words_of(const WebhookEvents& events) {
  Json words = Json::array();
  for (const auto& [wanted, word] :
       {std::pair(events.start, "start"), std::pair(events.output, "output"),
        std::pair(events.logs, "logs"), std::pair(events.completed, "completed")}) {
    if (wanted) {
      words.push_back(word);
    }
  }
  return words;
}

Result<Duration> read_time_span(std::string_view text) {
  const auto wrong = [&text] {
    return Error::invalid_argument("Cancel-After: takes 5s to 24h, such as 90s, 5m or 1h30m, not " +
                                   std::string(text.substr(0, 50)));
  };
  std::string_view left = text;
  Duration total{};
  while (!left.empty()) {
    std::int64_t number = 0;
    const auto [rest, failed] = std::from_chars(left.data(), left.data() + left.size(), number);
    if (failed != std::errc() || number < 0 || number > 100'000) {
      return wrong();
    }
    left.remove_prefix(static_cast<std::size_t>(rest - left.data()));
    const char unit = left.empty() ? 's' : left.front();
    left.remove_prefix(left.empty() ? 0 : 1);
    if (unit != 's' && unit != 'm' && unit != 'h') {
      return wrong();
    }
    total += number * (unit == 's' ? Duration(1s) : unit == 'm' ? Duration(1min) : Duration(1h));
  }
  return total < shortest_span || total > longest_span ? Result<Duration>(wrong()) : total;
}

Result<PredictionRequest> read_prediction_request(std::string_view body,
                                                  const net::Headers& headers) {
  auto json = body.empty() ? Result<Json>(Json::object()) : codec::parse_json(body);
  if (!json) {
    return Error::failed_precondition("the body is no JSON: " + json.error().message());
  }
  if (!json->is_object()) {
    return Error::invalid_argument("the body has to be a JSON object");
  }
  PredictionRequest request;
  THAW_TRY_VOID(read_text(*json, "version", request.version));
  THAW_TRY_VOID(read_text(*json, "webhook", request.webhook));
  if (const auto events = json->find("webhook_events_filter");
      events != json->end() && !events->is_null()) {
    THAW_TRY(request.events, read_events(*events));
  }
  // As older clients ask for the end alone.
  if (std::string completed; request.webhook.empty()) {
    THAW_TRY_VOID(read_text(*json, "webhook_completed", completed));
    if (!completed.empty()) {
      request.webhook = std::move(completed);
      request.events = {false, false, false, true};
    }
  }
  if (const auto input = json->find("input"); input != json->end()) {
    request.input = std::move(*input);
  }
  if (const auto prefer = headers.find("prefer")) {
    request.wait = read_wait(*prefer);
  }
  if (const auto after = headers.find("cancel-after")) {
    THAW_TRY(request.cancel_after, read_time_span(*after));
  }
  return request;
}

}  // namespace thaw::dialect::replicate
