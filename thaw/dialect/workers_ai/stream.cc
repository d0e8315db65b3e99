// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/stream.h"

#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/dialect/workers_ai/outputs.h"

namespace thaw::dialect::workers_ai {

using async::Task;
using codec::Json;

namespace {

constexpr const char* done = "[DONE]";

Task<void> begin(Run& run, net::HttpExchange& exchange) {
  if (exchange.responded()) {
    co_return ok();
  }
  run.forbid_repeats();
  net::Headers headers;
  headers.add("content-type", "text/event-stream");
  headers.add("cache-control", "no-store");
  headers.add("x-accel-buffering", "no");
  co_return co_await exchange.respond(200, std::move(headers));
}

// How it has ended, whichever way.
Task<void> tell_end(net::HttpExchange& exchange, const model::LogEntry& entry, Wording& wording,
                    std::size_t pieces) {
  const Result<Ended> ended = read_end(entry);
  std::string text = ended ? wording.end(*ended, pieces) + event_of(done)
                           : event_of(codec::dump_json(envelope_of(refusal_of(ended.error()))));
  THAW_CO_TRY_VOID(co_await exchange.write(std::move(text)));
  co_return co_await exchange.finish();
}

// The events of an entry.
struct Events {
  std::string text;
  std::size_t pieces = 0;
};

Events events_of(const model::LogEntry& entry, Wording& wording) {
  Events events;
  each_told(entry, [&](const Told& told) {
    const std::string data = wording.piece(told);
    events.pieces += told.text.empty() ? 0 : 1;
    events.text += data.empty() ? std::string() : event_of(data);
  });
  return events;
}

Task<Events> make_events(Context& cx, model::WorkspaceId workspace, const model::LogEntry& entry,
                         Wording& wording) {
  if (entry.payload.bytes.size() <= most_json_on_loop) {
    co_return events_of(entry, wording);
  }
  // Who waits for it uses neither meanwhile.
  const async::PoolShare share{cx.owners.pool, workspace.str()};
  auto make = [&entry, &wording] { return Result<Events>(events_of(entry, wording)); };
  co_return co_await async::blocking(share, std::move(make));
}

}  // namespace

std::string event_of(std::string_view data) { return "data: " + std::string(data) + "\n\n"; }

Task<void> stream_run(Run& run, net::HttpExchange& exchange, Wording& wording) {
  std::size_t pieces = 0;
  while (true) {
    THAW_CO_TRY(const auto entries, co_await run.next());
    if (entries.empty() && exchange.responded()) {
      THAW_CO_TRY_VOID(co_await exchange.write(": keep-alive\n\n"));
    }
    for (const model::LogEntry& entry : entries) {
      if (entry.kind == model::LogEntry::Kind::final_) {
        if (!exchange.responded()) {
          THAW_CO_TRY_VOID(read_end(entry));
        }
        THAW_CO_TRY_VOID(co_await begin(run, exchange));
        co_return co_await tell_end(exchange, entry, wording, pieces);
      }
      THAW_CO_TRY(Events events,
                  co_await make_events(run.context(), run.workspace(), entry, wording));
      pieces += events.pieces;
      if (!events.text.empty()) {
        THAW_CO_TRY_VOID(co_await begin(run, exchange));
        THAW_CO_TRY_VOID(co_await exchange.write(std::move(events.text)));
      }
    }
  }
}

std::string NativeWording::piece(const Told& told) {
  if (!told.usage.is_null()) {
    usage_ = told.usage;
  }
  Json json = Json::object();
  if (!told.text.empty()) {
    json["response"] = told.text;
  }
  if (!told.tool_calls.is_null()) {
    json["tool_calls"] = told.tool_calls;
  }
  if (!told.finish.empty() && told.finish != "stop") {
    json["finish_reason"] = told.finish;
  }
  return json.empty() ? std::string() : codec::dump_json(json);
}

std::string NativeWording::end(const Ended& ended, std::size_t pieces) {
  std::string text;
  if (pieces == 0 && !ended.answer.is_null()) {
    return event_of(codec::dump_json(result_of_server(ended.answer, false)));
  }
  if (pieces == 0 && !ended.output.is_null()) {
    text = event_of(codec::dump_json({{"response", text_of(ended.output)}}));
  }
  const Json usage = usage_.is_null() ? usage_of(ended.metrics) : usage_;
  if (!usage.is_null()) {
    text += event_of(codec::dump_json({{"response", ""}, {"usage", usage}}));
  }
  return text;
}

}  // namespace thaw::dialect::workers_ai
