// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/web_port.h"

#include <algorithm>

#include "thaw/dialect/modal/calls.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// What callers of other kinds of endpoints are told of a start that failed.
Task<void> answer_failed_start(net::HttpExchange& exchange, model::Outcome outcome) {
  THAW_CO_TRY(const pb::FunctionGetOutputsItem item, output_of(outcome, wall_now()));
  const std::string& told = item.result().exception();
  co_return co_await exchange.answer(
      status_of(item.result()), "application/json",
      error_body(told.empty() ? "the function's container failed to start; see `thaw logs`"
                              : told));
}

}  // namespace

bool is_withheld(std::string_view header, const std::vector<std::string>& hidden) {
  // WSGI and CGI give "x_forwarded_for" the name of "x-forwarded-for".
  std::string name(header);
  std::replace(name.begin(), name.end(), '_', '-');
  return name == key_header || name == secret_header || gateway::is_forwarded_header(name) ||
         std::find(hidden.begin(), hidden.end(), name) != hidden.end();
}

Task<void> serve_port(Context& cx, net::HttpExchange& exchange,
                      std::shared_ptr<const model::FunctionSpec> spec, model::WebEndpoint web,
                      std::string path, std::string root_path, std::vector<std::string> hidden) {
  const std::string_view query = exchange.request().query();
  gateway::Passage passage;
  passage.served_by = spec->id;
  passage.spec = std::move(spec);
  passage.port = web.port;
  passage.target = query.empty() ? path : path + "?" + std::string(query);
  passage.root_path = std::move(root_path);
  passage.origin = cx.place.proxies.origin_of(exchange.request());
  passage.withholds = [hidden = std::move(hidden)](std::string_view header) {
    return is_withheld(header, hidden);
  };
  auto failed = co_await cx.parts.passages.lead(exchange, std::move(passage));
  if (!failed && failed.error().code() == Code::aborted && !exchange.responded()) {
    co_return co_await exchange.answer(500, "application/json",
                                       error_body(failed.error().message()));
  }
  THAW_CO_TRY(std::optional<model::Outcome> start, std::move(failed));
  if (start) {
    co_return co_await answer_failed_start(exchange, std::move(*start));
  }
  co_return ok();
}

}  // namespace thaw::dialect::modal
