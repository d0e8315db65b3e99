// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/api.h"

#include <span>
#include <vector>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/native/aliases.h"
#include "thaw/dialect/native/callbacks.h"
#include "thaw/dialect/native/calls.h"
#include "thaw/dialect/native/cost.h"
#include "thaw/dialect/native/functions.h"
#include "thaw/dialect/native/model_aliases.h"
#include "thaw/dialect/native/models.h"
#include "thaw/dialect/native/push.h"
#include "thaw/dialect/native/schedules.h"

namespace thaw::dialect::native {

using async::Task;

namespace {

constexpr std::string_view prefix = "/api/v1/";

struct Asked {
  gateway::Identity who;
  std::vector<std::string> names;  // what stands in the place of each "*"
};

using Needs = gateway::Operation;
using Of = Needs::Of;
using Scope = model::TokenScope;

struct Operation {
  std::string_view method;
  std::string_view path;  // below the prefix; "*" is one segment of any kind
  Needs needs;            // of a token
  Task<void> (*serve)(Context& cx, net::HttpExchange& exchange, Asked asked);
};

constexpr Operation operations[] = {
    {"POST",
     "uploads",
     {"to upload files", Scope::deploy, Of::anything},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_uploads(cx, std::move(asked.who), exchange);
     }},
    {"POST",
     "functions",
     {"to push a function", Scope::deploy, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_push(cx, std::move(asked.who), exchange);
     }},
    {"GET",
     "functions",
     {"the list of functions", Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_list(cx, std::move(asked.who), exchange);
     }},
    {"GET",
     "functions/*",
     {"to look at a function", Scope::invoke | Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_function(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"DELETE",
     "functions/*",
     {"to remove a function", Scope::deploy, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_function(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"POST",
     "functions/*/calls",
     {"a call of a function", Scope::invoke, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_new_call(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"GET",
     "functions/*/aliases",
     {"the list of aliases", Scope::invoke | Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_aliases(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"PUT",
     "functions/*/aliases/*",
     {"to set an alias", Scope::deploy, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_alias(cx, std::move(asked.who), exchange, asked.names.at(0), asked.names.at(1));
     }},
    {"DELETE",
     "functions/*/aliases/*",
     {"to remove an alias", Scope::deploy, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_alias(cx, std::move(asked.who), exchange, asked.names.at(0), asked.names.at(1));
     }},
    {"GET",
     "models",
     {"the list of models", Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_models(cx, std::move(asked.who), exchange);
     }},
    {"GET",
     "models/*/*",
     {"to look at a model", Scope::invoke | Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_model(cx, std::move(asked.who), exchange, asked.names.at(0), asked.names.at(1));
     }},
    {"PUT",
     "models/*/*/latest",
     {"to roll a model back", Scope::deploy, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_latest(cx, std::move(asked.who), exchange, asked.names.at(0),
                           asked.names.at(1));
     }},
    {"GET",
     "model-aliases",
     {"the list of model aliases", Scope::invoke | Scope::read, Of::workspace},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_model_aliases(cx, std::move(asked.who), exchange);
     }},
    {"PUT",
     "model-aliases/*",
     {"to set a model alias", Scope::deploy, Of::workspace},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_model_alias(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"DELETE",
     "model-aliases/*",
     {"to remove a model alias", Scope::deploy, Of::workspace},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_model_alias(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"GET",
     "calls",
     {"the list of calls", Scope::read, Of::workspace},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_calls(cx, std::move(asked.who), exchange);
     }},
    {"GET",
     "calls/*",
     {"to look at a call", Scope::invoke | Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_call(cx, std::move(asked.who), exchange, asked.names.at(0), "");
     }},
    {"DELETE",
     "calls/*",
     {"to cancel a call", Scope::invoke, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_call(cx, std::move(asked.who), exchange, asked.names.at(0), "");
     }},
    {"GET",
     "calls/*/result",
     {"the result of a call", Scope::invoke | Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_call(cx, std::move(asked.who), exchange, asked.names.at(0), "result");
     }},
    {"GET",
     "cost",
     {"the bill of a workspace", Scope::read, Of::workspace},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_cost(cx, std::move(asked.who), exchange);
     }},
    {"GET",
     "schedules",
     {"the list of schedules", Scope::read, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_schedules(cx, std::move(asked.who), exchange);
     }},
    {"POST",
     "schedules/*/runs",
     {"a run of a schedule", Scope::invoke, Of::functions},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_run_now(cx, std::move(asked.who), exchange, asked.names.at(0));
     }},
    {"GET",
     "callback-secret",
     {"the secret of callbacks", Scope::deploy, Of::workspace},
     [](Context& cx, net::HttpExchange& exchange, Asked asked) {
       return serve_callback_secret(cx, std::move(asked.who), exchange);
     }},
};

// The names in the place of each "*"; nullopt: another path.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view path) {
  std::vector<std::string> names;
  while (true) {
    const std::string_view wanted = pattern.substr(0, pattern.find('/'));
    const std::string_view given = path.substr(0, path.find('/'));
    if (wanted == "*" && !given.empty()) {
      names.push_back(codec::percent_decode(std::string(given)));
    } else if (wanted != given) {
      return std::nullopt;
    }
    const bool pattern_ends = wanted.size() == pattern.size();
    const bool path_ends = given.size() == path.size();
    if (pattern_ends || path_ends) {
      return pattern_ends && path_ends ? std::optional(std::move(names)) : std::nullopt;
    }
    pattern.remove_prefix(wanted.size() + 1);
    path.remove_prefix(given.size() + 1);
  }
}

}  // namespace

Task<void> serve_api(Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  THAW_CO_TRY(gateway::Identity who, identify(cx, request));
  const std::string path(request.path());
  const std::string below = path.size() > prefix.size() ? path.substr(prefix.size()) : "";
  bool is_known = false;
  for (const Operation& operation : operations) {
    auto names = match(operation.path, below);
    is_known = is_known || names;
    if (names && operation.method == request.method) {
      THAW_CO_TRY_VOID(gateway::check_may(who, operation.needs));
      co_return co_await operation.serve(cx, exchange, {std::move(who), std::move(*names)});
    }
  }
  if (is_known) {
    co_return co_await exchange.answer(405, "application/json",
                                       "{\"error\":\"this path is not for that method\"}\n");
  }
  co_return Error::not_found("this version of Thaw has no " + path.substr(0, 200) +
                             "; docs/reference/api.md lists what it has");
}

}  // namespace thaw::dialect::native
