// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/models.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/fields.h"
#include "thaw/dialect/native/functions.h"
#include "thaw/dialect/native/pushed_model.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;
using gateway::Model;
using gateway::ModelVersion;

namespace {

constexpr std::size_t most_body_bytes = 64u << 10;

Json told(const ModelVersion& version) {
  return {{"id", version.card->id},
          {"version", version.spec->version},
          {"number", version.number},
          {"published_at", to_seconds(version.published_at)},
          {"streams", version.card->streams},
          {"trains", version.card->trains},
          {"made_with", version.card->made_with},
          {"concurrency", version.card->inputs}};
}

Json told(const Model& model) {
  Json view = native::json_of(*model.latest.card);
  view["function"] = model.published.spec->name;
  view["latest_version"] = told(model.latest);
  return view;
}

Json with_versions(Context& cx, const catalog::Scope& scope, const Model& model) {
  Json view = told(model);
  // What its maker has written; it was JSON as it was pushed.
  auto schema = codec::parse_json(model.latest.card->schema);
  view["latest_version"]["schema"] = schema ? std::move(*schema) : Json();
  view["versions"] = Json::array();
  for (const ModelVersion& version : cx.models.versions(scope, model)) {
    Json one = told(version);
    one["latest"] = version.card->id == model.latest.card->id;
    view["versions"].push_back(std::move(one));
  }
  return view;
}

Result<Model> find_model(Context& cx, const catalog::Scope& scope, std::string owner,
                         const std::string& name) {
  const auto workspace = scope.workspace();
  if (owner == "-" && workspace) {
    owner = workspace->name;
  }
  if (auto model = cx.models.find(scope, owner, name)) {
    return std::move(*model);
  }
  return Error::not_found("no model '" + owner.substr(0, 63) + "/" + name.substr(0, 63) +
                          "' is here; `thaw model list` shows what is, and `thaw push FOLDER` of "
                          "a folder with a cog.yaml adds one");
}

// The one that is meant, or, where nothing was said, the newest one that is older than the latest.
Result<ModelVersion> choose(const std::vector<ModelVersion>& versions, const Model& model,
                            const std::string& asked) {
  std::vector<ModelVersion> meant;
  for (const ModelVersion& one : versions) {
    const bool is_meant = asked.empty()
                              ? one.number < model.latest.number
                              : one.card->id.starts_with(asked) || one.spec->version == asked;
    if (is_meant && (meant.empty() || !asked.empty())) {
      meant.push_back(one);
    }
  }
  if (meant.empty()) {
    return Error::not_found(asked.empty()
                                ? "no version before the latest one is kept"
                                : "no version '" + asked.substr(0, 64) + "' of it is kept");
  }
  if (meant.size() > 1) {
    return Error::invalid_argument("several versions begin with '" + asked.substr(0, 64) +
                                   "'; give more of the id");
  }
  return meant.front();
}

Task<void> answer(net::HttpExchange& exchange, const Json& json) {
  return exchange.answer(200, "application/json", codec::dump_json(json) + "\n");
}

}  // namespace

Json json_of(const model::ModelCard& card) {
  return {{"owner", card.owner},
          {"name", card.name},
          {"description", card.description},
          {"visibility", word_of(card.visibility)}};
}

Task<void> serve_models(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  Json list = Json::array();
  for (const Model& model : cx.models.list(scope)) {
    list.push_back(told(model));
  }
  co_return co_await answer(exchange, {{"models", list}});
}

Task<void> serve_model(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                       std::string owner, std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const Model model, find_model(cx, scope, owner, name));
  co_return co_await answer(exchange, with_versions(cx, scope, model));
}

Task<void> serve_latest(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                        std::string owner, std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_body_bytes));
  THAW_CO_TRY(const Json json, codec::parse_json(body));
  std::string asked;
  codec::Fields fields(json);
  fields.read("version", asked);
  if (const Result<void> read = fields.outcome(); !read) {
    co_return Error::invalid_argument(read.error().message());
  }
  THAW_CO_TRY(const Model model, find_model(cx, scope, owner, name));
  const std::vector<ModelVersion> versions = cx.models.versions(scope, model);
  THAW_CO_TRY(const ModelVersion chosen, choose(versions, model, asked));
  std::vector<model::WeightedVersion> only{{chosen.spec->version, 1}};
  THAW_CO_TRY_VOID(co_await cx.owners.versions.set_alias(scope, chosen.spec->id, model::live_alias,
                                                         std::move(only)));
  THAW_CO_TRY(const Model now, find_model(cx, scope, owner, name));
  co_return co_await answer(exchange, with_versions(cx, scope, now));
}

}  // namespace thaw::dialect::native
