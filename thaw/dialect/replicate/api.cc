// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/api.h"

#include <optional>
#include <utility>
#include <vector>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/replicate/account.h"
#include "thaw/dialect/replicate/answers.h"
#include "thaw/dialect/replicate/deployments.h"
#include "thaw/dialect/replicate/files.h"
#include "thaw/dialect/replicate/models.h"
#include "thaw/dialect/replicate/predictions.h"
#include "thaw/dialect/replicate/stream.h"
#include "thaw/gateway/operation.h"

namespace thaw::dialect::replicate {

using async::Task;

namespace {

using Scope = model::TokenScope;
using Reaches = gateway::Operation::Of;
using Of = PredictionPath::Of;

struct Asked {
  gateway::Identity who;
  std::vector<std::string> names;  // what stands in the place of each "*"
};

using Serve = Task<void> (*)(Context& cx, net::HttpExchange& exchange, Asked asked);

struct Operation {
  std::string_view method;
  std::string_view path;  // below the prefix; "*" is one segment of any kind
  model::TokenScopes any_of;
  Reaches reaches;
  Serve serve;
};

// Operations whose function takes nothing but who asks; and one, two or three names.
template <auto serve>
Task<void> plain(Context& cx, net::HttpExchange& exchange, Asked asked) {
  return serve(cx, std::move(asked.who), exchange);
}
template <auto serve>
Task<void> named(Context& cx, net::HttpExchange& exchange, Asked asked) {
  return serve(cx, std::move(asked.who), exchange, std::move(asked.names.at(0)));
}
template <auto serve>
Task<void> owned(Context& cx, net::HttpExchange& exchange, Asked asked) {
  return serve(cx, std::move(asked.who), exchange, std::move(asked.names.at(0)),
               std::move(asked.names.at(1)));
}
template <auto serve>
Task<void> versioned(Context& cx, net::HttpExchange& exchange, Asked asked) {
  return serve(cx, std::move(asked.who), exchange, std::move(asked.names.at(0)),
               std::move(asked.names.at(1)), std::move(asked.names.at(2)));
}
template <Of of>
Task<void> predict(Context& cx, net::HttpExchange& exchange, Asked asked) {
  PredictionPath path;
  path.of = of;
  asked.names.resize(3);
  path.owner = std::move(asked.names[0]);
  path.name = std::move(asked.names[1]);
  path.version = std::move(asked.names[2]);
  return serve_new_prediction(cx, std::move(asked.who), exchange, std::move(path));
}
Task<void> predict_once(Context& cx, net::HttpExchange& exchange, Asked asked) {
  PredictionPath path;
  path.id = std::move(asked.names.at(0));
  return serve_new_prediction(cx, std::move(asked.who), exchange, std::move(path));
}
Task<void> refuse(net::HttpExchange& exchange, const char* what) {
  return answer_problem(exchange, Error::unimplemented(what));
}
Task<void> refuse_training(Context& /*cx*/, net::HttpExchange& exchange, Asked /*asked*/) {
  return refuse(exchange, "trainings are not served by this version of Thaw");
}
Task<void> refuse_model(Context& /*cx*/, net::HttpExchange& exchange, Asked /*asked*/) {
  return refuse(exchange,
                "a model is made by its first version: `thaw push FOLDER OWNER/NAME` of a folder "
                "with a cog.yaml");
}
Task<void> no_such(Context& /*cx*/, net::HttpExchange& exchange, Asked /*asked*/) {
  return answer_problem(exchange, Error::not_found("there is none of that name here"));
}

constexpr Operation operations[] = {
    {"POST", "predictions", Scope::invoke, Reaches::functions, predict<Of::body>},
    {"GET", "predictions", Scope::read, Reaches::workspace, plain<serve_predictions>},
    {"GET", "predictions/*", Scope::invoke | Scope::read, Reaches::functions,
     named<serve_prediction>},
    {"PUT", "predictions/*", Scope::invoke, Reaches::functions, predict_once},
    {"POST", "predictions/*/cancel", Scope::invoke, Reaches::functions, named<serve_cancel>},
    {"POST", "models/*/*/predictions", Scope::invoke, Reaches::functions, predict<Of::model>},
    {"POST", "models/*/*/versions/*/predictions", Scope::invoke, Reaches::functions,
     predict<Of::version>},
    {"POST", "deployments/*/*/predictions", Scope::invoke, Reaches::functions,
     predict<Of::deployment>},
    {"GET", "models", Scope::invoke | Scope::read, Reaches::functions, plain<serve_models>},
    {"QUERY", "models", Scope::invoke | Scope::read, Reaches::functions, plain<serve_search>},
    {"POST", "models", Scope::deploy, Reaches::workspace, refuse_model},
    {"GET", "models/*/*", Scope::invoke | Scope::read, Reaches::functions, owned<serve_model>},
    {"DELETE", "models/*/*", Scope::deploy, Reaches::functions, owned<serve_model>},
    {"GET", "models/*/*/versions", Scope::invoke | Scope::read, Reaches::functions,
     owned<serve_versions>},
    {"GET", "models/*/*/versions/*", Scope::invoke | Scope::read, Reaches::functions,
     versioned<serve_version>},
    {"DELETE", "models/*/*/versions/*", Scope::deploy, Reaches::functions,
     versioned<serve_version>},
    {"GET", "deployments", Scope::invoke | Scope::read, Reaches::workspace,
     plain<serve_deployments>},
    {"POST", "deployments", Scope::deploy, Reaches::workspace, plain<serve_new_deployment>},
    {"GET", "deployments/*/*", Scope::invoke | Scope::read, Reaches::workspace,
     owned<serve_deployment>},
    {"PATCH", "deployments/*/*", Scope::deploy, Reaches::workspace, owned<serve_deployment>},
    {"DELETE", "deployments/*/*", Scope::deploy, Reaches::workspace, owned<serve_deployment>},
    {"GET", "files", Scope::read, Reaches::workspace, plain<serve_files>},
    {"POST", "files", Scope::invoke, Reaches::anything, plain<serve_new_file>},
    {"GET", "files/*", Scope::read, Reaches::workspace, named<serve_file>},
    {"DELETE", "files/*", Scope::deploy, Reaches::workspace, named<serve_file>},
    {"GET", "files/*/download", Scope::read, Reaches::workspace, named<serve_file_bytes>},
    {"GET", "hardware", Scope::invoke | Scope::read, Reaches::anything, plain<serve_hardware>},
    {"GET", "account", Scope::invoke | Scope::read, Reaches::anything, plain<serve_account>},
    {"GET", "webhooks/default/secret", Scope::deploy, Reaches::workspace,
     plain<serve_webhook_secret>},
    {"GET", "trainings", Scope::invoke | Scope::read, Reaches::anything, plain<serve_none>},
    {"GET", "trainings/*", Scope::invoke | Scope::read, Reaches::anything, no_such},
    {"POST", "trainings/*/cancel", Scope::deploy, Reaches::workspace, no_such},
    {"POST", "models/*/*/versions/*/trainings", Scope::deploy, Reaches::workspace, refuse_training},
    {"POST", "trainings", Scope::deploy, Reaches::workspace, refuse_training},
    {"GET", "collections", Scope::invoke | Scope::read, Reaches::anything, plain<serve_none>},
    {"GET", "collections/*", Scope::invoke | Scope::read, Reaches::anything, no_such},
};

// The names in the place of each "*"; nullopt: another path.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view path) {
  std::vector<std::string> names;
  while (true) {
    const std::string_view wanted = pattern.substr(0, pattern.find('/'));
    const std::string_view given = path.substr(0, path.find('/'));
    if (wanted == "*" && !given.empty()) {
      names.push_back(codec::percent_decode(given));
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

Task<void> serve_operation(Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  constexpr std::string_view prefix = api_prefix;
  std::string_view below = request.path().substr(prefix.size());
  below.remove_prefix(below.starts_with('/') ? 1 : 0);
  if (const auto stream = match("predictions/*/stream", below); stream && request.method == "GET") {
    co_return co_await serve_stream(cx, exchange, stream->front());
  }
  THAW_CO_TRY(gateway::Identity who, identify(cx, request));
  bool is_known = false;
  for (const Operation& operation : operations) {
    auto names = match(operation.path, below);
    is_known = is_known || names;
    if (names && operation.method == request.method) {
      const std::string name = std::string(operation.method) + " " + std::string(operation.path);
      const gateway::Operation asked{name, operation.any_of, operation.reaches};
      THAW_CO_TRY_VOID(gateway::check_may(who, asked));
      co_return co_await operation.serve(cx, exchange, {std::move(who), std::move(*names)});
    }
  }
  if (is_known) {
    co_return co_await answer_json(
        exchange, 405,
        {{"title", "Method not allowed"},
         {"detail", "Method \"" + request.method.substr(0, 20) + "\" not allowed."},
         {"status", 405}});
  }
  co_return Error::not_found(
      "this version of Thaw has no such operation; "
      "docs/reference/replicate-compatibility.md lists what it has");
}

}  // namespace

Task<void> serve_api(Context& cx, net::HttpExchange& exchange) {
  const Result<void> served = co_await serve_operation(cx, exchange);
  if (served || exchange.responded() || served.error().code() == Code::cancelled) {
    co_return served;
  }
  co_return co_await answer_problem(exchange, served.error());
}

}  // namespace thaw::dialect::replicate
