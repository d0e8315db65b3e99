// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/api.h"

#include <optional>
#include <utility>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/workers_ai/answers.h"
#include "thaw/dialect/workers_ai/models.h"
#include "thaw/dialect/workers_ai/openai.h"
#include "thaw/dialect/workers_ai/runs.h"
#include "thaw/gateway/operation.h"

namespace thaw::dialect::workers_ai {

using async::Task;

namespace {

using Scope = model::TokenScope;
using Reaches = gateway::Operation::Of;
using Serve = Task<void> (*)(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                             std::string rest);

constexpr std::string_view binding_host = "workers-binding.ai";

struct Operation {
  std::string_view method;
  std::string_view path;  // with "*" at its end: and whatever follows, which is not empty
  model::TokenScopes any_of;
  Reaches reaches;
  Serve serve;
};

// Those that take nothing but who asks.
template <auto serve>
Task<void> plain(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                 std::string /*rest*/) {
  return serve(cx, std::move(who), exchange);
}
Task<void> refuse(Context& /*cx*/, gateway::Identity /*who*/, net::HttpExchange& exchange,
                  std::string /*rest*/) {
  const Error missing = Error::unimplemented(
      std::string(exchange.request().path()) +
      " is not served by this version of Thaw; docs/guides/workers-ai.md lists what is");
  return answer_refusal(exchange, Face::api, refusal_of(missing));
}

// Below accounts/ACCOUNT/ai/.
constexpr Operation of_the_api[] = {
    {"POST", "run/*", Scope::invoke, Reaches::functions, serve_run},
    {"GET", "models/search", Scope::invoke | Scope::read, Reaches::functions,
     plain<serve_model_search>},
    {"GET", "models/schema", Scope::invoke | Scope::read, Reaches::functions,
     plain<serve_model_schema>},
    {"GET", "tasks/search", Scope::invoke | Scope::read, Reaches::anything, plain<serve_tasks>},
    {"POST", "v1/chat/completions", Scope::invoke, Reaches::functions, plain<serve_chat>},
    {"POST", "v1/embeddings", Scope::invoke, Reaches::functions, plain<serve_embeddings>},
    {"POST", "v1/responses", Scope::invoke, Reaches::anything, refuse},
    {"GET", "authors/search", Scope::invoke | Scope::read, Reaches::anything, refuse},
    {"GET", "finetunes", Scope::invoke | Scope::read, Reaches::anything, refuse},
    {"POST", "finetunes", Scope::deploy, Reaches::anything, refuse},
    {"GET", "finetunes/*", Scope::invoke | Scope::read, Reaches::anything, refuse},
    {"POST", "finetunes/*", Scope::deploy, Reaches::anything, refuse},
    {"POST", "tomarkdown", Scope::invoke, Reaches::anything, refuse},
    {"GET", "tomarkdown/*", Scope::invoke | Scope::read, Reaches::anything, refuse},
};

// At the root of the host that bindings ask for.
constexpr Operation of_bindings[] = {
    {"POST", "run", Scope::invoke, Reaches::functions, plain<serve_binding_run>},
    {"GET", "run", Scope::invoke, Reaches::functions, plain<serve_binding_run>},
    {"POST", "ai-gateway/run", Scope::invoke, Reaches::functions, plain<serve_binding_run>},
    {"GET", "ai-api/models/search", Scope::invoke | Scope::read, Reaches::functions,
     plain<serve_model_search>},
};

// What follows; nullopt: it is another path.
std::optional<std::string> match(std::string_view pattern, std::string_view path) {
  const bool has_rest = pattern.ends_with('*');
  const std::string_view fixed = has_rest ? pattern.substr(0, pattern.size() - 1) : pattern;
  if (has_rest ? path.size() <= fixed.size() || !path.starts_with(fixed) : path != fixed) {
    return std::nullopt;
  }
  return codec::percent_decode(path.substr(fixed.size()));
}

// "accounts/ACCOUNT/ai/run/…" as "run/…"; nullopt: it is no such path.
std::optional<std::string_view> below_account(std::string_view path) {
  constexpr std::string_view accounts = "/accounts/";
  constexpr std::string_view ai = "/ai/";
  if (!path.starts_with(accounts)) {
    return std::nullopt;
  }
  path.remove_prefix(accounts.size());
  const std::size_t end = path.find('/');
  const bool is_ai = end != std::string_view::npos && end > 0 && path.substr(end).starts_with(ai);
  return is_ai ? std::optional(path.substr(end + ai.size())) : std::nullopt;
}

Task<void> serve_one(Context& cx, net::HttpExchange& exchange,
                     std::span<const Operation> operations, std::string_view path) {
  const net::HttpRequest& request = exchange.request();
  THAW_CO_TRY(gateway::Identity who, identify(cx, request));
  bool is_known = false;
  for (const Operation& operation : operations) {
    auto rest = match(operation.path, path);
    is_known = is_known || rest;
    if (rest && operation.method == request.method) {
      const std::string name = std::string(operation.method) + " ai/" + std::string(operation.path);
      const gateway::Operation asked{name, operation.any_of, operation.reaches};
      THAW_CO_TRY_VOID(gateway::check_may(who, asked));
      co_return co_await operation.serve(cx, std::move(who), exchange, std::move(*rest));
    }
  }
  if (is_known) {
    co_return co_await answer_refusal(exchange, Face::api,
                                      {405, 10405, "this path is not for that method", false});
  }
  co_return Error::not_found("Could not route to " + std::string(request.path().substr(0, 200)) +
                             ": this version of Thaw has no such operation; "
                             "docs/guides/workers-ai.md lists what it has");
}

Task<void> told(net::HttpExchange& exchange, Face face, Result<void> served) {
  if (served || exchange.responded()) {
    co_return served;
  }
  if (served.error().code() == Code::cancelled) {
    // Of its caller, unless the run was cancelled by somebody else while he waits.
    const Error error = served.error();
    (void)co_await answer_refusal(exchange, face, refusal_of(error));
    co_return served;
  }
  co_return co_await answer_refusal(exchange, face, refusal_of(served.error()));
}

}  // namespace

Task<void> serve_api(Context& cx, net::HttpExchange& exchange) {
  const std::string path(exchange.request().path().substr(std::string_view(api_prefix).size()));
  const auto below = below_account(path);
  Result<void> served = Error::not_found("");
  if (below) {
    served = co_await serve_one(cx, exchange, of_the_api, *below);
  } else {
    served = co_await serve_one(cx, exchange, {}, path);
  }
  co_return co_await told(exchange, Face::api, std::move(served));
}

Task<void> serve_binding(Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  const std::string_view host = request.authority;
  if (host.substr(0, host.find(':')) != binding_host) {
    co_return Error::not_found("nothing is served at this address");
  }
  const std::string path(request.path().substr(1));
  Result<void> served = co_await serve_one(cx, exchange, of_bindings, path);
  co_return co_await told(exchange, Face::binding, std::move(served));
}

}  // namespace thaw::dialect::workers_ai
