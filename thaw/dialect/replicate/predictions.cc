// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/predictions.h"

#include <algorithm>
#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/dialect/replicate/answers.h"
#include "thaw/dialect/replicate/calls.h"
#include "thaw/dialect/replicate/deployments.h"
#include "thaw/dialect/replicate/files.h"
#include "thaw/dialect/replicate/models.h"
#include "thaw/dialect/replicate/prediction_request.h"
#include "thaw/dialect/replicate/webhooks.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_body_bytes = 144u << 20;  // 100 MB of a file in base64, and some
constexpr std::size_t most_shown_input = 128u << 10;
constexpr std::size_t longest_shown_text = 1'024;  // of an input that is larger
constexpr std::size_t longest_own_id = 100;
constexpr std::size_t listed_at_once = 100;
constexpr Duration cancel_is_seen_within = 3s;

// Which version a prediction is of, and where its call goes.
struct Chosen {
  gateway::Route route;
  std::shared_ptr<const model::ModelCard> card;
  std::string deployment;
};

Result<Chosen> choose_of(Context& cx, const gateway::Identity& who, const gateway::Model& model,
                         const std::string& id) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  std::string asked;
  if (!id.empty() && id != "latest") {
    THAW_TRY(const gateway::ModelVersion version, find_version(cx, who, model, id));
    asked = version.spec->version;
  }
  Chosen chosen;
  THAW_TRY(chosen.route, cx.owners.versions.route(scope, *model.published.function, asked));
  chosen.card = cx.models.card(chosen.route.spec);
  if (!chosen.card) {
    return Error::not_found("this version is no model");
  }
  return chosen;
}

// "OWNER/NAME:ID", "OWNER/NAME" or the id of a version.
Result<Chosen> choose_by(Context& cx, const gateway::Identity& who, const std::string& version) {
  const std::size_t slash = version.find('/');
  if (slash != std::string::npos) {
    const std::size_t colon = std::min(version.find(':', slash), version.size());
    THAW_TRY(const gateway::Model model, find_model(cx, who, version.substr(0, slash),
                                                    version.substr(slash + 1, colon - slash - 1)));
    return choose_of(cx, who, model, version.substr(std::min(colon + 1, version.size())));
  }
  if (version.empty()) {
    return Error::invalid_argument("version: is required");
  }
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  const auto found = cx.models.version(scope, version);
  if (!found) {
    return Error::invalid_argument("version: no model here has a version '" +
                                   version.substr(0, 100) + "'");
  }
  return choose_of(cx, who, found->first, version);
}

Result<Chosen> choose(Context& cx, const gateway::Identity& who, const PredictionPath& path,
                      const PredictionRequest& request) {
  switch (path.of) {
    case PredictionPath::Of::body: return choose_by(cx, who, request.version);
    case PredictionPath::Of::deployment: {
      Chosen chosen;
      THAW_TRY(DeploymentTarget target, find_deployment(cx, who, path.owner, path.name));
      chosen.route = std::move(target.route);
      chosen.card = std::move(target.card);
      chosen.deployment = path.owner + "/" + path.name;
      return chosen;
    }
    default: break;
  }
  THAW_TRY(const gateway::Model model, find_model(cx, who, path.owner, path.name));
  return choose_of(cx, who, model, path.version.empty() ? request.version : path.version);
}

// What is shown of an input that is too large to be kept beside its call.
Json shown_of(const Json& input) {
  Json shown = input;
  if (codec::dump_json(shown).size() <= most_shown_input) {
    return shown;
  }
  for (auto& [name, value] : shown.items()) {
    if (value.is_string() && value.get_ref<const std::string&>().size() > longest_shown_text) {
      value = value.get_ref<const std::string&>().substr(0, longest_shown_text) + "…";
    }
  }
  return codec::dump_json(shown).size() <= most_shown_input ? shown : Json::object();
}

Task<PredictionRequest> read_request(Context& cx, const gateway::Identity& who, std::string body,
                                     const net::Headers& headers) {
  if (body.size() <= most_json_on_loop) {
    co_return read_prediction_request(body, headers);
  }
  const async::PoolShare share{cx.owners.pool, who.workspace.str()};
  auto read = [body = std::move(body), headers] { return read_prediction_request(body, headers); };
  co_return co_await async::blocking(share, std::move(read));
}

// An input as its model takes it.
struct Input {
  Json given;
  Json shown;
  std::vector<gateway::InvalidField> wrong;
};

Input check(const gateway::InputSchema& schema, Json given) {
  Input input;
  input.wrong = schema.check(given);
  input.shown = input.wrong.empty() ? shown_of(given) : Json();
  input.given = std::move(given);
  return input;
}

Task<Input> check(Context& cx, model::WorkspaceId workspace,
                  std::shared_ptr<const gateway::InputSchema> schema, Json given, bool is_large) {
  if (!is_large) {
    co_return check(*schema, std::move(given));
  }
  const async::PoolShare share{cx.owners.pool, workspace.str()};
  auto work = [schema = std::move(schema), given = std::move(given)]() mutable {
    return Result<Input>(check(*schema, std::move(given)));
  };
  co_return co_await async::blocking(share, std::move(work));
}

// What the model's server gets: its files are where its container can read them.
Task<std::string> body_of(Context& cx, gateway::Identity who, Json given, bool is_large) {
  THAW_CO_TRY_VOID(make_readable(cx, who, given));
  THAW_CO_TRY_VOID(co_await put_input_files_aside(cx, who.workspace, given));
  auto write = [given = std::move(given)]() mutable {
    return Result<std::string>(codec::dump_json({{"input", std::move(given)}}));
  };
  if (!is_large) {
    co_return write();
  }
  const async::PoolShare share{cx.owners.pool, who.workspace.str()};
  co_return co_await async::blocking(share, std::move(write));
}

// The same request with the same name is one prediction.
Task<model::CallId> create(Context& cx, net::HttpExchange& exchange, model::NewCall call,
                           model::Payload input, bool has_own_id) {
  std::optional<queue::Once> once;
  if (const auto key = exchange.request().headers.find("idempotency-key")) {
    once.emplace(std::string(*key), store::sha256_hex(input.bytes));
  }
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, std::move(input)});
  const model::CallId id = call.id;
  const auto created =
      co_await cx.owners.invoke.create(std::move(call), std::move(inputs), std::move(once));
  if (!created && has_own_id && created.error().code() == Code::already_exists) {
    co_return id;
  }
  if (!created) {
    co_return created.error();
  }
  co_return created->id;
}

// The place where a list goes on has spaces.
std::string next_page(const std::string& base, const std::string& cursor) {
  std::string address = base + "/predictions?cursor=";
  for (const char c : cursor) {
    address += c == ' ' ? "%20" : std::string(1, c);
  }
  return address;
}

Task<void> answer_prediction(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                             model::CallId call, std::optional<Duration> wait) {
  bool has_ended = false;
  if (wait) {
    THAW_CO_TRY(const auto ends, co_await cx.owners.invoke.ends(call, 1, monotonic_now() + *wait));
    has_ended = !ends.empty();
  }
  THAW_CO_TRY(FoundPrediction found, co_await find_prediction(cx, std::move(who), call.str()));
  THAW_CO_TRY(Json view, co_await view_of(cx, found, base_of(cx, exchange.request())));
  if (wait && !has_ended) {
    // Clients take every other status for the last one.
    view["status"] = "starting";
  }
  co_return co_await answer_json(exchange, wait && !has_ended ? 202 : 201, std::move(view));
}

}  // namespace

Task<void> serve_new_prediction(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                PredictionPath path) {
  THAW_CO_TRY(std::string body, co_await exchange.read_all(most_body_bytes));
  const bool is_large = body.size() > most_json_on_loop;
  THAW_CO_TRY(PredictionRequest request,
              co_await read_request(cx, who, std::move(body), exchange.request().headers));
  if (path.id.size() > longest_own_id) {
    co_return Error::invalid_argument("id: has at most " + std::to_string(longest_own_id) +
                                      " letters");
  }
  THAW_CO_TRY(Chosen chosen, choose(cx, who, path, request));
  THAW_CO_TRY(Input input, co_await check(cx, who.workspace, schema_of(cx, chosen.card),
                                          std::move(request.input), is_large));
  if (!input.wrong.empty()) {
    co_return co_await answer_invalid_input(exchange, std::move(input.wrong));
  }
  const gateway::KeptVersions::Hold hold(cx.owners.versions, chosen.route.target);
  THAW_CO_TRY(std::string sent, co_await body_of(cx, who, std::move(input.given), is_large));
  Memo memo;
  memo.id = path.id;
  memo.model = chosen.card->owner + "/" + chosen.card->name;
  memo.version = chosen.card->id;
  memo.deployment = std::move(chosen.deployment);
  memo.input = std::move(input.shown);
  memo.gives_list = schema_of(cx, chosen.card)->gives_list();
  memo.streams = chosen.card->streams || memo.gives_list;
  memo.webhook = request.webhook;
  model::NewCall call = gateway::Invoke::new_call(chosen.route);
  call.id =
      path.id.empty() ? model::CallId(codec::random_lower(26)) : call_id_of(who.workspace, path.id);
  call.durability = model::Durability::durable;
  call.token = who.workspace == call.workspace ? who.token : model::TokenId();
  call.status = model::StatusEntries::yes;
  call.keep.payload_for = cx.options.keep_data;
  if (request.cancel_after) {
    memo.cancel_after =
        wall_now() + std::chrono::duration_cast<std::chrono::microseconds>(*request.cancel_after);
    call.limits.end_by = memo.cancel_after;
  }
  if (!request.webhook.empty()) {
    THAW_CO_TRY(model::Callback callback,
                callback_of(request.webhook, request.events, cx.owners.sinks,
                            base_of(cx, exchange.request())));
    call.callbacks.push_back(std::move(callback));
  }
  call.options = write_memo(memo);
  model::Payload payload{std::move(sent), chosen.card->streams ? gateway::prediction_type
                                                               : gateway::whole_prediction_type};
  THAW_CO_TRY(model::CallId made,
              co_await create(cx, exchange, std::move(call), std::move(payload), !path.id.empty()));
  co_return co_await answer_prediction(cx, std::move(who), exchange, std::move(made), request.wait);
}

Task<void> serve_prediction(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                            std::string id) {
  THAW_CO_TRY(FoundPrediction found, co_await find_prediction(cx, std::move(who), std::move(id)));
  THAW_CO_TRY(Json view, co_await view_of(cx, found, base_of(cx, exchange.request())));
  co_return co_await answer_json(exchange, 200, std::move(view));
}

Task<void> serve_cancel(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                        std::string id) {
  THAW_CO_TRY(FoundPrediction found, co_await find_prediction(cx, std::move(who), std::move(id)));
  const model::CallId call = found.info.call.id;
  if (found.info.unfinished > 0) {
    THAW_CO_TRY_VOID(co_await cx.owners.invoke.cancel(call, control::Fleet::StopHow::graceful));
    THAW_CO_TRY([[maybe_unused]] const auto ends,
                co_await cx.owners.invoke.ends(call, 1, monotonic_now() + cancel_is_seen_within));
  }
  THAW_CO_TRY(Json view, co_await view_of(cx, found, base_of(cx, exchange.request())));
  co_return co_await answer_json(exchange, 200, std::move(view));
}

Task<void> serve_predictions(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  queue::CallFilter filter;
  filter.workspace = who.workspace;
  // What comes from here on shifts no places.
  filter.until = wall_now() + std::chrono::microseconds(1);
  const std::string cursor = codec::query_value(exchange.request().query(), "cursor");
  THAW_CO_TRY(const queue::CallPage page,
              co_await cx.owners.queue.list(filter, cursor, listed_at_once));
  const std::string base = base_of(cx, exchange.request());
  PageItems items;
  std::string next = page.next;
  for (std::size_t i = 0; i < page.calls.size(); ++i) {
    if (page.calls[i].durability != model::Durability::durable) {
      continue;
    }
    auto found = co_await find_prediction(cx, who, page.calls[i].id.str());
    if (!found && found.error().code() == Code::cancelled) {
      co_return found.error();
    }
    if (!found) {
      continue;  // another dialect's, or it has just gone
    }
    THAW_CO_TRY(const Json view, co_await view_of(cx, *found, base, FilesAs::addresses));
    if (!items.add(view)) {
      THAW_CO_TRY(const queue::CallPage taken, co_await cx.owners.queue.list(filter, cursor, i));
      next = taken.next;
      break;
    }
  }
  const Json address = next.empty() ? Json() : Json(next_page(base, next));
  co_return co_await answer_page(exchange, items.page(Json(), address));
}

}  // namespace thaw::dialect::replicate
