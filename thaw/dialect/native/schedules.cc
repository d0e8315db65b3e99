// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/schedules.h"

#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/codec/http_message.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/native/push_request.h"
#include "thaw/gateway/schedules.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t ticks_told = 3;
constexpr std::size_t most_listed = 200;

Json json_of(const catalog::ScheduleRun& run) {
  Json out = {{"tick", to_seconds(run.tick)}};
  if (run.call.empty()) {
    out["left_out"] = run.why;
  } else {
    out["call"] = run.call;
  }
  return out;
}

Task<Json> json_of(Context& cx, gateway::Schedules::View view) {
  Json next = Json::array();
  for (const WallTime tick : view.next) {
    next.push_back(to_seconds(tick));
  }
  Json runs = Json::array();
  for (const catalog::ScheduleRun& run : view.runs) {
    Json one = json_of(run);
    if (!run.call.empty() && runs.empty()) {  // of the last one
      // all workspaces: of a function that is seen
      const auto info = co_await cx.owners.queue.info(run.call);
      one["state"] = !info ? "forgotten" : info->finished_at ? "finished" : "unfinished";
    }
    runs.push_back(std::move(one));
  }
  co_return Json{{"function", view.spec->id}, {"name", view.spec->name},
                 {"app", view.app->name},     {"schedule", gateway::text_of(*view.spec->schedule)},
                 {"next", std::move(next)},   {"runs", std::move(runs)}};
}

}  // namespace

Result<gateway::CallbackCall> call_at_tick(const gateway::Route& route, WallTime tick) {
  THAW_TRY(const Definition definition, read_definition(route.spec->definition));
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = !definition.schedule_path.empty() ? definition.schedule_path
                   : route.spec->push                ? route.spec->push->target
                                                     : "/";
  request.headers.emplace_back(
      tick_header,
      std::to_string(std::chrono::floor<std::chrono::seconds>(tick).time_since_epoch().count()));
  THAW_TRY(std::string bytes, codec::write_http(request));
  gateway::CallbackCall made;
  made.call = gateway::Invoke::new_call(route);
  made.inputs.push_back({0, {std::move(bytes), std::string(codec::http_content_type)}});
  return made;
}

Task<void> serve_schedules(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  std::size_t skip = 0;
  const std::string cursor = codec::query_value(exchange.request().query(), "cursor");
  if (!cursor.empty()) {
    const char* end = cursor.data() + cursor.size();
    const auto [rest, error] = std::from_chars(cursor.data(), end, skip);
    if (error != std::errc() || rest != end) {
      co_return Error::invalid_argument("cursor: the \"next\" of the page before");
    }
  }
  gateway::Schedules::Page page =
      cx.owners.schedules.list(who.workspace, scope, skip, most_listed, ticks_told);
  Json list = Json::array();
  for (gateway::Schedules::View& view : page.views) {
    THAW_CO_TRY(Json one, co_await json_of(cx, std::move(view)));
    list.push_back(std::move(one));
  }
  Json out = {{"schedules", std::move(list)}};
  out["next"] = page.has_more ? std::to_string(skip + most_listed) : std::string();
  co_return co_await exchange.answer(200, "application/json", codec::dump_json(out) + "\n");
}

Task<void> serve_run_now(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                         std::string function) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const model::CallId call,
              co_await cx.owners.schedules.run_now(scope, model::FunctionId(function)));
  co_return co_await exchange.answer(202, "application/json",
                                     codec::dump_json({{"call", call}}) + "\n");
}

}  // namespace thaw::dialect::native
