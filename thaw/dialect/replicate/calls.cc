// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/calls.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/data_url.h"
#include "thaw/codec/ids.h"
#include "thaw/dialect/replicate/files.h"
#include "thaw/logs/log_hub.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t entries_at_once = 200;
constexpr std::size_t most_start_lines = 200;
// Clients take only what begins with https: or data: for a file.
constexpr std::uint64_t largest_data_url = 8u << 20;

// What the model's containers printed while they did not start.
Task<std::string> log_of_start(Context& cx, const queue::CallInfo& info) {
  logs::Query query;
  query.since = info.created_at - std::chrono::minutes(1);
  query.until = info.finished_at.value_or(wall_now()) + std::chrono::seconds(1);
  query.function = info.call.function.str();
  query.limit = most_start_lines;
  query.order = logs::Query::Order::newest_first;
  THAW_CO_TRY(const auto lines,
              co_await cx.owners.logs.find(info.call.app.str(), std::move(query)));
  std::string text;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    text += line->text;
  }
  co_return text;
}

// Of the whole address of this API.
gateway::BaseUrl origin_in(const std::string& base) {
  const std::size_t scheme = std::min(base.find("://"), base.size());
  const std::size_t host = std::min(scheme + 3, base.size());
  return {base.substr(0, scheme), base.substr(host, base.find('/', host) - host)};
}

// What of an output's files is there, in their places.
Task<void> put_files_back(Context& cx, const model::WorkspaceId& workspace,
                          std::map<std::string, gateway::OutputFile> files, gateway::BaseUrl origin,
                          FilesAs as, Json& output) {
  const bool is_plain = as == FilesAs::clients_take_them && origin.scheme == "http";
  std::uint64_t inline_bytes = 0;
  for (const auto& [pointer, file] : files) {
    std::string url;
    if (is_plain && inline_bytes + file.size <= largest_data_url) {
      inline_bytes += file.size;
      auto bytes = co_await cx.owners.blobs.get(workspace.str(), file.sha256_hex);
      if (!bytes && bytes.error().code() == Code::cancelled) {
        co_return bytes.error();
      }
      url = bytes ? codec::write_data_url(file.content_type, *bytes) : std::string();
    } else {
      url = signed_file_url(cx, origin, workspace, file.sha256_hex, file.content_type,
                            "output" + std::string(codec::ending_of(file.content_type)));
    }
    try {
      output[Json::json_pointer(pointer)] = std::move(url);
    } catch (const Json::exception&) {
      continue;  // a damaged record costs this file
    }
  }
  co_return ok();
}

}  // namespace

model::CallId call_id_of(const model::WorkspaceId& workspace, const std::string& name) {
  const std::string digest = store::sha256_hex("prediction\n" + workspace.str() + "\n" + name);
  return model::CallId("p" + digest.substr(0, 39));
}

Task<queue::CallInfo> info_of(Context& cx, model::CallId call) {
  return cx.owners.queue.info(std::move(call));  // all workspaces: as its header says
}

Task<FoundPrediction> find_prediction(Context& cx, gateway::Identity who, std::string id) {
  for (const model::CallId& call : {model::CallId(id), call_id_of(who.workspace, id)}) {
    THAW_CO_TRY(std::optional<queue::CallInfo> info,
                co_await cx.owners.invoke.find_call(who, call));
    auto memo = info ? read_memo(info->call.options) : std::nullopt;
    if (memo) {
      co_return FoundPrediction{std::move(*info), std::move(*memo)};
    }
  }
  co_return Error::not_found("no prediction '" + id.substr(0, 100) + "' is known");
}

Task<std::vector<model::LogEntry>> read_log(Context& cx, const queue::CallInfo& info,
                                            std::uint64_t after, std::size_t most, Instant until) {
  THAW_CO_TRY(std::vector<model::LogEntry> entries,
              co_await cx.owners.queue.read(info.call.id, after, most, until, {}));
  for (model::LogEntry& entry : entries) {
    if (entry.payload.rest) {
      THAW_CO_TRY(entry.payload, co_await cx.owners.queue.payloads().whole(
                                     info.call.workspace, std::move(entry.payload)));
    }
  }
  co_return entries;
}

Task<std::shared_ptr<const Fold>> fold_of(Context& cx, FoundPrediction& found,
                                          std::uint64_t up_to) {
  auto fold = std::make_shared<Fold>(found.memo.gives_list);
  std::uint64_t after = 0;
  while (after < up_to) {
    THAW_CO_TRY(const auto entries,
                co_await read_log(cx, found.info, after, entries_at_once, monotonic_now()));
    for (const model::LogEntry& entry : entries) {
      after = entry.number;
      if (entry.number <= up_to) {
        fold->add(entry);
      }
    }
    if (entries.empty()) {
      break;
    }
  }
  THAW_CO_TRY(found.info, co_await info_of(cx, found.info.call.id));
  const model::LogEntry* end = fold->end();
  if (end != nullptr && end->failure && end->failure->type == model::failure_type::start_failed) {
    THAW_CO_TRY(fold->logs, co_await log_of_start(cx, found.info));
  }
  co_return std::shared_ptr<const Fold>(std::move(fold));
}

std::string stream_secret(const Context& cx, const std::string& call) {
  return cx.owners.secrets.sign("replicate-stream", call).substr(0, 43);
}

Task<Json> view_of(Context& cx, const FoundPrediction& found, const Fold& fold, std::string base,
                   FilesAs files) {
  const gateway::BaseUrl origin = origin_in(base);
  const std::string call = found.info.call.id.str();
  Place place{base, base + "/predictions/" + call + "/stream?secret=" + stream_secret(cx, call)};
  Json json = json_of(found.info, found.memo, fold, place);
  THAW_CO_TRY_VOID(co_await put_files_back(cx, found.info.call.workspace, fold.files, origin, files,
                                           json["output"]));
  co_return json;
}

Task<Json> view_of(Context& cx, FoundPrediction& found, std::string base, FilesAs files) {
  THAW_CO_TRY(const std::shared_ptr<const Fold> fold, co_await fold_of(cx, found));
  co_return co_await view_of(cx, found, *fold, std::move(base), files);
}

}  // namespace thaw::dialect::replicate
