// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/chosen.h"

#include <utility>

#include "thaw/catalog/scope.h"
#include "thaw/dialect/workers_ai/completion_talk.h"
#include "thaw/dialect/workers_ai/model_inputs.h"
#include "thaw/dialect/workers_ai/server_request.h"
#include "thaw/gateway/prediction_log.h"

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

constexpr std::size_t most_told_of_fields = 5;

// A function that is a plain server, whoever published it.
std::optional<gateway::Published> find_server(const catalog::Scope& scope,
                                              const std::string& name) {
  const auto environment = scope.environment_named("");
  const auto app = environment ? scope.deployed_app((*environment)->id, name) : nullptr;
  if (!app || !app->functions.contains(app->name)) {
    return std::nullopt;
  }
  const auto function = scope.function(app->functions.at(app->name).str());
  const auto live = function ? function->live() : nullptr;
  return live && live->push ? std::optional(gateway::Published{app, function, live}) : std::nullopt;
}

std::optional<gateway::Published> find_target(Context& cx, const catalog::Scope& scope,
                                              const std::string& target) {
  const std::size_t slash = target.find('/');
  if (slash == std::string::npos) {
    return find_server(scope, target);
  }
  auto model = cx.models.find(scope, target.substr(0, slash), target.substr(slash + 1));
  return model ? std::optional(std::move(model->published)) : std::nullopt;
}

Error wrong_fields(const std::vector<gateway::InvalidField>& wrong) {
  std::string text;
  for (std::size_t i = 0; i < wrong.size() && i < most_told_of_fields; ++i) {
    text += (i == 0 ? "" : "; ") + wrong[i].field + " " + wrong[i].what;
  }
  return Error::invalid_argument(text);
}

Result<Payloads> payloads_for_model(const KnownModel& known, const Json& inputs) {
  THAW_TRY(std::vector<Json> all, model_inputs(inputs, known.contract));
  Payloads payloads;
  payloads.type = gateway::prediction_type;
  for (Json& one : all) {
    if (const auto wrong = known.schema.check(one); !wrong.empty()) {
      return wrong_fields(wrong);
    }
    payloads.bytes.push_back(codec::dump_json({{"input", std::move(one)}}));
  }
  return payloads;
}

}  // namespace

std::optional<Chosen> choose(Context& cx, const gateway::Identity& who, const std::string& name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  const auto alias = cx.aliases.find(who.workspace, name);
  const std::string target = alias ? alias->target : name;
  if (!alias && target.find('/') == std::string::npos) {
    return std::nullopt;  // functions that nobody has named for this stay where they are
  }
  const auto published = find_target(cx, scope, target);
  if (!published) {
    return std::nullopt;
  }
  auto route = cx.owners.versions.route(scope, *published->function, "");
  if (!route) {
    return std::nullopt;
  }
  Chosen chosen;
  chosen.asked = name;
  chosen.route = std::move(*route);
  const auto card = cx.models.card(chosen.route.spec);
  chosen.known = card ? known_model(cx, card) : nullptr;
  chosen.task = alias ? task_named(alias->task) : std::nullopt;
  return chosen;
}

Result<Payloads> payloads_for(const Chosen& chosen, const RunRequest& request) {
  if (chosen.known) {
    return payloads_for_model(*chosen.known, request.inputs);
  }
  THAW_TRY(const ServerRequest asked,
           server_request(request.inputs, chosen.asked, request.streams));
  Payloads payloads;
  payloads.type = completion_type;
  payloads.bytes.push_back(write_completion_input(asked.path, codec::dump_json(asked.body)));
  return payloads;
}

}  // namespace thaw::dialect::workers_ai
