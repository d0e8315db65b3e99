// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/models.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/workers_ai/chosen.h"

namespace thaw::dialect::workers_ai {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t usual_page = 50;
constexpr std::size_t largest_page = 100;

struct Listed {
  std::string name;
  std::string description;
  ModelTask task = ModelTask::text_generation;
};

ModelTask task_of_contract(const KnownModel* known) {
  const bool is_file = known != nullptr && known->contract.gives == Contract::Gives::file;
  return is_file ? ModelTask::text_to_image : ModelTask::text_generation;
}

// Those whose target the asker sees.
std::vector<Listed> all_models(Context& cx, const gateway::Identity& who) {
  std::vector<Listed> all;
  for (const gateway::ModelAlias& alias : cx.aliases.list(who.workspace)) {
    if (const auto chosen = choose(cx, who, alias.name)) {
      const auto card = cx.models.card(chosen->route.spec);
      all.push_back({alias.name, card ? card->description : "answered by " + alias.target,
                     chosen->task.value_or(task_of_contract(chosen->known.get()))});
    }
  }
  for (const auto& model : cx.models.list(gateway::scope_of(cx.owners.catalog, who))) {
    const auto& card = model.latest.card;
    all.push_back({card->owner + "/" + card->name, card->description,
                   task_of_contract(known_model(cx, card).get())});
  }
  return all;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::string asked_for(const net::HttpExchange& exchange, std::string_view name) {
  return codec::query_value(exchange.request().query(), name);
}

Result<std::size_t> number(const net::HttpExchange& exchange, std::string_view name,
                           std::size_t usual) {
  const std::string text = asked_for(exchange, name);
  std::size_t value = usual;
  const auto [rest, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = wrong == std::errc() && rest == text.data() + text.size() && value > 0;
  return text.empty() || is_whole
             ? Result<std::size_t>(text.empty() ? usual : value)
             : Error::invalid_argument(std::string(name) + ": has to be a whole number from 1 on");
}

Json task_json(const TaskWords& words) {
  return {{"id", words.id}, {"name", words.name}, {"description", words.description}};
}

Json json_of(const Listed& one) {
  return {{"id", one.name},
          {"source", 1},
          {"name", one.name},
          {"description", one.description},
          {"task", task_json(words_of(one.task))},
          {"tags", Json::array()},
          {"properties", Json::array()}};
}

Json page_of(const std::vector<Json>& items, std::size_t page, std::size_t per_page) {
  Json body = envelope(Json::array());
  const std::size_t first =
      page - 1 > items.size() / per_page ? items.size() : (page - 1) * per_page;
  const std::size_t last = std::min(items.size(), first + per_page);
  for (std::size_t i = first; i < last; ++i) {
    body["result"].push_back(items[i]);
  }
  body["result_info"] = {{"page", page},
                         {"per_page", per_page},
                         {"count", body["result"].size()},
                         {"total_count", items.size()}};
  return body;
}

}  // namespace

Task<void> serve_model_search(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::size_t page, number(exchange, "page", 1));
  THAW_CO_TRY(const std::size_t per_page, number(exchange, "per_page", usual_page));
  const std::string search = lower(asked_for(exchange, "search"));
  const std::string author = lower(asked_for(exchange, "author"));
  const std::string task = asked_for(exchange, "task");
  std::vector<Json> found;
  for (const Listed& one : all_models(cx, who)) {
    const std::string text = lower(one.name + " " + one.description);
    const TaskWords& words = words_of(one.task);
    const bool is_of_author =
        author.empty() || ("/" + lower(one.name)).find("/" + author + "/") != std::string::npos;
    if (text.find(search) != std::string::npos && is_of_author &&
        (task.empty() || task == words.id || task == words.name)) {
      found.push_back(json_of(one));
    }
  }
  co_return co_await answer_json(exchange, 200,
                                 page_of(found, page, std::min(per_page, largest_page)));
}

Task<void> serve_model_schema(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const std::string name = asked_for(exchange, "model");
  const auto chosen = choose(cx, who, name);
  if (!chosen) {
    co_return co_await answer_refusal(exchange, Face::api, no_such_model(name));
  }
  const auto card = cx.models.card(chosen->route.spec);
  const auto document = codec::parse_json(card ? card->schema : "{}");
  const auto schema = [&](const char* part) {
    const Json::json_pointer place("/components/schemas/" + std::string(part));
    return document && document->is_object() && document->contains(place)
               ? document->at(place)
               : Json{{"type", "object"}};
  };
  co_return co_await answer_result(exchange, Face::api,
                                   {{"input", schema("Input")}, {"output", schema("Output")}});
}

Task<void> serve_tasks(Context& /*cx*/, gateway::Identity /*who*/, net::HttpExchange& exchange) {
  Json tasks = Json::array();
  for (const TaskWords& words : all_tasks()) {
    tasks.push_back(task_json(words));
  }
  co_return co_await answer_result(exchange, Face::api, std::move(tasks));
}

}  // namespace thaw::dialect::workers_ai
