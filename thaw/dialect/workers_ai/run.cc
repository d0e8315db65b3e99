// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/run.h"

#include <algorithm>
#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/codec/data_url.h"

namespace thaw::dialect::workers_ai {

using async::Task;
using codec::Json;

namespace {

constexpr Duration patience = 15s;
constexpr std::size_t entries_at_once = 50;
constexpr std::uint64_t most_files_bytes = 64u << 20;  // of one output

}  // namespace

Task<void> Run::watch(Run& run) {
  THAW_CO_TRY_VOID(co_await run.exchange_.until_gone());
  co_return co_await run.cx_.owners.invoke.cancel(run.call_, control::Fleet::StopHow::graceful);
}

Task<void> Run::begin(const Chosen& chosen, Payloads payloads) {
  const gateway::KeptVersions::Hold hold(cx_.owners.versions, chosen.route.target);
  model::NewCall call = gateway::Invoke::new_call(chosen.route);
  if (const auto who = identify(cx_, exchange_.request());
      who && who->workspace == call.workspace) {
    call.token = who->token;
  }
  std::vector<model::NewInput> inputs;
  for (std::string& bytes : payloads.bytes) {
    inputs.push_back({static_cast<int>(inputs.size()), {std::move(bytes), payloads.type}});
  }
  inputs_ = inputs.size();
  workspace_ = call.workspace;
  THAW_CO_TRY(const queue::Created created,
              co_await cx_.owners.invoke.create(std::move(call), std::move(inputs)));
  call_ = created.id;
  watches_ = std::make_unique<async::TaskGroup>(cx_.owners.loop);
  watches_->start("a run's caller", watch(*this));
  co_return ok();
}

Task<std::vector<model::LogEntry>> Run::next() {
  THAW_CO_TRY(std::vector<model::LogEntry> entries,
              co_await cx_.owners.queue.read(call_, after_, entries_at_once,
                                             monotonic_now() + patience, {}));
  for (model::LogEntry& entry : entries) {
    after_ = entry.number;
    ended_ += entry.kind == model::LogEntry::Kind::final_ ? 1 : 0;
    if (entry.payload.rest) {
      THAW_CO_TRY(entry.payload,
                  co_await cx_.owners.queue.payloads().whole(workspace_, std::move(entry.payload)));
    }
  }
  cx_.owners.queue.take(call_, after_);
  co_return entries;
}

Task<Whole> Run::whole() {
  Whole whole;
  whole.ends.resize(inputs_);
  while (!has_ended()) {
    THAW_CO_TRY(const auto entries, co_await next());
    for (const model::LogEntry& entry : entries) {
      const auto index = static_cast<std::size_t>(entry.index);
      if (entry.kind == model::LogEntry::Kind::final_ && index < inputs_) {
        THAW_CO_TRY(whole.ends[index], read_end(entry));
      }
    }
  }
  co_return whole;
}

Task<void> Run::finish() {
  co_await async::forget_cancellation();
  if (watches_) {
    (void)co_await watches_->stop();
  }
  if (call_.empty()) {
    co_return ok();
  }
  if (!has_ended()) {
    (void)co_await cx_.owners.invoke.cancel(call_, control::Fleet::StopHow::graceful);
  }
  cx_.owners.queue.forget(call_);
  co_return ok();
}

Task<void> with_run(Context& cx, net::HttpExchange& exchange, const Chosen& chosen,
                    Payloads payloads, WithRun body) {
  Run run(cx, exchange);
  Result<void> served = co_await run.begin(chosen, std::move(payloads));
  if (served) {
    served = co_await body(run);
  }
  THAW_CO_TRY_VOID(co_await run.finish());
  co_return served;
}

Task<Json> output_with_files(Context& cx, model::WorkspaceId workspace, Ended ended) {
  std::uint64_t bytes = 0;
  for (const auto& [pointer, file] : ended.files) {
    bytes += file.size;
    if (bytes > most_files_bytes) {
      co_return Error::resource_exhausted("the files of the output have more than " +
                                          std::to_string(most_files_bytes) + " bytes");
    }
    THAW_CO_TRY(const std::string content,
                co_await cx.owners.blobs.get(workspace.str(), file.sha256_hex));
    try {
      ended.output[Json::json_pointer(pointer)] = codec::write_data_url(file.content_type, content);
    } catch (const Json::exception&) {
      continue;  // a damaged record costs this file
    }
  }
  co_return std::move(ended.output);
}

Task<Payloads> make_payloads(Context& cx, model::WorkspaceId workspace, const Chosen& chosen,
                             RunRequest request, std::size_t bytes) {
  if (bytes <= most_json_on_loop) {
    co_return payloads_for(chosen, request);
  }
  const async::PoolShare share{cx.owners.pool, workspace.str()};
  auto make = [chosen, request = std::move(request)] { return payloads_for(chosen, request); };
  co_return co_await async::blocking(share, std::move(make));
}

}  // namespace thaw::dialect::workers_ai
