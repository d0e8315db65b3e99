// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/prediction.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

#include "thaw/codec/fields.h"
#include "thaw/codec/utf8.h"

namespace thaw::dialect::replicate {

using codec::Json;
using gateway::Item;

namespace {

// Options of calls are other dialects' too.
constexpr std::string_view memo_mark = "replicate/1 ";
constexpr std::size_t most_logs = 1u << 20;  // of one that runs

const Json& member(const Json& of, const char* name) {
  static const Json none;
  if (!of.is_object()) {
    return none;
  }
  const auto found = of.find(name);
  return found == of.end() ? none : *found;
}

}  // namespace

std::string write_memo(const Memo& memo) {
  Json json = {{"model", memo.model},
               {"version", memo.version},
               {"input", memo.input},
               {"list", memo.gives_list},
               {"streams", memo.streams}};
  for (const auto& [name, text] :
       {std::pair("id", &memo.id), std::pair("deployment", &memo.deployment),
        std::pair("webhook", &memo.webhook)}) {
    if (!text->empty()) {
      json[name] = *text;
    }
  }
  if (memo.cancel_after) {
    json["cancel_after_us"] = memo.cancel_after->time_since_epoch().count();
  }
  return std::string(memo_mark) + codec::dump_json(json);
}

std::optional<Memo> read_memo(std::string_view options) {
  if (!options.starts_with(memo_mark)) {
    return std::nullopt;
  }
  const auto json = codec::parse_json(options.substr(memo_mark.size()));
  if (!json) {
    return std::nullopt;
  }
  Memo memo;
  codec::Fields fields(*json);
  fields.read("id", memo.id);
  fields.read("model", memo.model);
  fields.read("version", memo.version);
  fields.read("deployment", memo.deployment);
  fields.read("webhook", memo.webhook);
  fields.read("list", memo.gives_list);
  fields.read("streams", memo.streams);
  if (json->is_object() && json->contains("cancel_after_us")) {
    fields.read_time("cancel_after_us", memo.cancel_after.emplace());
  }
  memo.input = member(*json, "input");
  return fields.outcome() ? std::optional(std::move(memo)) : std::nullopt;
}

void Fold::add(const model::LogEntry& entry) {
  if (entry.kind == model::LogEntry::Kind::final_) {
    add_end(entry);
    return;
  }
  if (entry.kind != model::LogEntry::Kind::chunk) {
    return;
  }
  if (entry.attempts != attempt_) {
    attempt_ = entry.attempts;
    output = nullptr;  // what a delivery has told that came to nothing
    outputs = 0;
    logs.clear();
  }
  for (Item& item : gateway::read_items(entry.payload.bytes)) {
    if (item.kind == Item::Kind::logs) {
      logs += item.logs.substr(0, most_logs - std::min(most_logs, logs.size()));
      continue;
    }
    ++outputs;
    if (gives_list_) {
      output.push_back(std::move(item.output));
    } else {
      output = std::move(item.output);
    }
  }
}

void Fold::add_end(const model::LogEntry& entry) {
  end_ = entry;
  end_->payload = {};
  if (entry.failure) {
    error = codec::valid_utf8(entry.failure->message);
  }
  auto ending = entry.payload.content_type == gateway::prediction_type
                    ? gateway::read_ending(entry.payload.bytes)
                    : Result<gateway::Ending>(Error::not_found("none"));
  if (ending) {
    ended_as_ = ending->status;
    output = std::move(ending->output);
    logs = std::move(ending->logs);
    metrics = std::move(ending->metrics);
    files = std::move(ending->files);
    if (!ending->error.is_null()) {
      error = std::move(ending->error);
    }
    return;
  }
  is_removed_ = entry.outcome == model::OutcomeKind::success ||
                (entry.outcome == model::OutcomeKind::failure && !entry.failure);
}

std::string Fold::status(const queue::CallInfo& info, const Memo& memo) const {
  if (!end_) {
    return info.started_at ? "processing" : "starting";
  }
  switch (end_->outcome) {
    case model::OutcomeKind::success: return ended_as_.empty() ? "succeeded" : ended_as_;
    case model::OutcomeKind::terminated: return info.cancelled ? "canceled" : "failed";
    case model::OutcomeKind::expired: return "canceled";
    case model::OutcomeKind::timeout:
      return memo.cancel_after && end_->at >= *memo.cancel_after ? "canceled" : "failed";
    default: return "failed";
  }
}

std::string time_text(WallTime at) {
  const auto micros = at.time_since_epoch().count();
  const std::time_t seconds = static_cast<std::time_t>(micros / 1'000'000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(micros % 1'000'000));
  return text;
}

Json json_of(const queue::CallInfo& info, const Memo& memo, const Fold& fold, const Place& place) {
  const std::string id = memo.id.empty() ? info.call.id.str() : memo.id;
  const std::string own = place.base + "/predictions/" + id;
  Json urls = {{"get", own}, {"cancel", own + "/cancel"}};
  if (memo.streams && !place.stream_url.empty()) {
    urls["stream"] = place.stream_url;
  }
  const bool has_ended = fold.end() != nullptr;
  const std::string status = fold.status(info, memo);
  Json metrics = fold.metrics;
  if (has_ended && info.finished_at) {
    metrics["total_time"] = to_seconds(*info.finished_at - info.created_at);
  }
  Json json = {{"id", id},
               {"model", memo.model},
               {"version", memo.version},
               {"input", fold.is_removed() ? Json::object() : memo.input},
               {"output", fold.output},
               {"logs", fold.logs},
               {"error", status == "canceled" ? Json() : fold.error},
               {"status", status},
               {"source", "api"},
               {"created_at", time_text(info.created_at)},
               {"started_at", info.started_at ? Json(time_text(*info.started_at)) : Json()},
               {"completed_at",
                has_ended ? Json(time_text(info.finished_at.value_or(fold.end()->at))) : Json()},
               {"data_removed", fold.is_removed()},
               {"metrics", std::move(metrics)},
               {"urls", std::move(urls)}};
  if (!memo.deployment.empty()) {
    json["deployment"] = memo.deployment;
  }
  if (!memo.webhook.empty()) {
    json["webhook"] = memo.webhook;
  }
  return json;
}

}  // namespace thaw::dialect::replicate
