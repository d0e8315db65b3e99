// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/models.h"

#include <algorithm>
#include <utility>

#include "thaw/dialect/replicate/answers.h"
#include "thaw/dialect/replicate/prediction.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_query_bytes = 4u << 10;
constexpr const char* unknown_cog = "0.0.0";

Json json_of(const gateway::ModelVersion& version) {
  const model::ModelCard& card = *version.card;
  auto schema = codec::parse_json(card.schema.empty() ? "{}" : card.schema);
  return {{"id", card.id},
          {"created_at", time_text(version.published_at)},
          {"cog_version", card.made_with.empty() ? unknown_cog : card.made_with},
          {"openapi_schema", schema ? std::move(*schema) : Json::object()}};
}

Json json_of(const gateway::Model& model, const gateway::BaseUrl& origin) {
  const model::ModelCard& card = *model.latest.card;
  const bool is_public = card.visibility == model::ModelCard::Visibility::everybody;
  return {{"url", origin + ("/" + card.owner + "/" + card.name)},
          {"owner", card.owner},
          {"name", card.name},
          {"description", card.description},
          {"visibility", is_public ? "public" : "private"},
          {"github_url", nullptr},
          {"paper_url", nullptr},
          {"license_url", nullptr},
          {"run_count", 0},
          {"cover_image_url", nullptr},
          {"default_example", nullptr},
          {"latest_version", json_of(model.latest)}};
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

// Whether each word of the question stands somewhere in what a model says of itself.
bool is_meant(const model::ModelCard& card, std::string_view question) {
  const std::string text = lower(card.owner + "/" + card.name + " " + card.description);
  const std::string words = lower(std::string(question));
  std::string_view left = words;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find_first_of(" \t\r\n"), left.size());
    if (text.find(left.substr(0, end)) == std::string::npos) {
      return false;
    }
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return true;
}

}  // namespace

Result<gateway::Model> find_model(const Context& cx, const gateway::Identity& who,
                                  const std::string& owner, const std::string& name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  if (auto model = cx.models.find(scope, owner, name)) {
    return std::move(*model);
  }
  return Error::not_found("no model '" + owner.substr(0, 63) + "/" + name.substr(0, 63) +
                          "' is here; `thaw push FOLDER OWNER/NAME` makes one of a folder with "
                          "a cog.yaml");
}

Result<gateway::ModelVersion> find_version(const Context& cx, const gateway::Identity& who,
                                           const gateway::Model& model, const std::string& id) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  if (auto version = cx.models.version(scope, model, id)) {
    return std::move(*version);
  }
  return Error::not_found("the model " + model.latest.card->owner + "/" + model.latest.card->name +
                          " has no version '" + id.substr(0, 100) + "' (any more)");
}

Task<void> serve_models(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  const std::vector<gateway::Model> models = cx.models.list(scope);
  const gateway::BaseUrl origin = origin_of(cx, exchange.request());
  co_return co_await answer_page(exchange, origin + api_prefix + "/models", models.size(),
                                 [&](std::size_t i) { return json_of(models[i], origin); });
}

Task<void> serve_model(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                       std::string owner, std::string name) {
  THAW_CO_TRY(const gateway::Model model, find_model(cx, who, owner, name));
  if (exchange.request().method == "DELETE") {
    THAW_CO_TRY_VOID(
        co_await cx.owners.deployments.stop_app(model.published.app->id, "the model was deleted"));
    co_return co_await answer_nothing(exchange);
  }
  co_return co_await answer_json(exchange, 200, json_of(model, origin_of(cx, exchange.request())));
}

Task<void> serve_versions(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                          std::string owner, std::string name) {
  THAW_CO_TRY(const gateway::Model model, find_model(cx, who, owner, name));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  const std::vector<gateway::ModelVersion> versions = cx.models.versions(scope, model);
  const std::string address =
      base_of(cx, exchange.request()) + "/models/" + owner + "/" + name + "/versions";
  co_return co_await answer_page(exchange, address, versions.size(),
                                 [&](std::size_t i) { return json_of(versions[i]); });
}

Task<void> serve_version(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                         std::string owner, std::string name, std::string id) {
  THAW_CO_TRY(const gateway::Model model, find_model(cx, who, owner, name));
  THAW_CO_TRY(const gateway::ModelVersion version, find_version(cx, who, model, id));
  if (exchange.request().method == "DELETE") {
    co_return Error::unimplemented(
        "single versions are not deleted: the oldest go as newer ones are pushed; DELETE the model "
        "removes all");
  }
  co_return co_await answer_json(exchange, 200, json_of(version));
}

Task<void> serve_search(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string question, co_await exchange.read_all(most_query_bytes));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  std::vector<gateway::Model> models = cx.models.list(scope);
  // The client for JavaScript sends its text as JSON, whatever type it says.
  const auto json = codec::parse_json(question);
  const std::string words = json && json->is_string() ? json->get<std::string>() : question;
  std::erase_if(models,
                [&](const gateway::Model& model) { return !is_meant(*model.latest.card, words); });
  const gateway::BaseUrl origin = origin_of(cx, exchange.request());
  co_return co_await answer_page(exchange, origin + api_prefix + "/models", models.size(),
                                 [&](std::size_t i) { return json_of(models[i], origin); });
}

}  // namespace thaw::dialect::replicate
