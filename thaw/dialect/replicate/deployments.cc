// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/deployments.h"

#include <utility>

#include "thaw/catalog/model_cards.h"
#include "thaw/codec/fields.h"
#include "thaw/dialect/replicate/answers.h"
#include "thaw/dialect/replicate/models.h"
#include "thaw/dialect/replicate/prediction.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_body_bytes = 64u << 10;
constexpr int most_instances = 1'000;

// What its document says.
struct Deployment {
  std::string owner, name;
  std::string model_owner, model_name;
  std::string version;   // of the model, as its card has it
  std::string function;  // the app's and function's name
  std::string dialect;
  std::string hardware = "cpu";
  int min_instances = 0;
  int max_instances = 1;
  int number = 1;
};

std::string write_deployment(const Deployment& one) {
  return codec::dump_json({{"owner", one.owner},
                           {"name", one.name},
                           {"model_owner", one.model_owner},
                           {"model_name", one.model_name},
                           {"version", one.version},
                           {"function", one.function},
                           {"dialect", one.dialect},
                           {"hardware", one.hardware},
                           {"min", one.min_instances},
                           {"max", one.max_instances},
                           {"number", one.number}});
}

Result<Deployment> read_deployment(const model::Document& document) {
  THAW_TRY(const Json json, codec::parse_json(document.text));
  Deployment one;
  codec::Fields fields(json);
  for (const auto& [name, text] :
       {std::pair("owner", &one.owner), std::pair("name", &one.name),
        std::pair("model_owner", &one.model_owner), std::pair("model_name", &one.model_name),
        std::pair("version", &one.version), std::pair("function", &one.function),
        std::pair("dialect", &one.dialect), std::pair("hardware", &one.hardware)}) {
    fields.read(name, *text);
  }
  fields.read("min", one.min_instances);
  fields.read("max", one.max_instances);
  fields.read("number", one.number);
  THAW_TRY_VOID(fields.outcome());
  return one;
}

model::DocumentPlace place_of(const gateway::Identity& who) {
  return {who.workspace, dialect_name, "deployment"};
}

std::string owner_of(const Context& cx, const gateway::Identity& who) {
  const auto workspace = gateway::scope_of(cx.owners.catalog, who).workspace();
  return workspace ? workspace->name : "default";
}

Json json_of(const Deployment& one, const model::Document& document) {
  return {{"owner", one.owner},
          {"name", one.name},
          {"current_release",
           {{"number", one.number},
            {"model", one.model_owner + "/" + one.model_name},
            {"version", one.version},
            {"created_at", time_text(document.created_at)},
            {"created_by", {{"type", "user"}, {"username", one.owner}, {"name", one.owner}}},
            {"configuration",
             {{"hardware", one.hardware},
              {"min_instances", one.min_instances},
              {"max_instances", one.max_instances}}}}}};
}

// By which the model's function keeps the version.
std::string alias_of(const Deployment& one) { return "deployment-" + one.name; }

// The limits that a body names; others stay.
Result<void> read_limits(const Json& body, Deployment& one) {
  codec::Fields fields(body);
  fields.read("hardware", one.hardware);
  fields.read("min_instances", one.min_instances);
  fields.read("max_instances", one.max_instances);
  if (const auto read = fields.outcome(); !read) {
    return Error::invalid_argument(read.error().message());
  }
  if (one.min_instances < 0 || one.max_instances < 1 || one.max_instances > most_instances ||
      one.min_instances > one.max_instances) {
    return Error::invalid_argument(
        "min_instances, max_instances: 0 to 1000 and 1 to 1000, the former not above the latter");
  }
  if (one.hardware.rfind("cpu", 0) != 0) {
    return Error::invalid_argument("hardware: takes 'cpu' here, which GET /hardware lists");
  }
  return ok();
}

// Makes it live, as one more publication of its function.
Task<void> publish(Context& cx, gateway::Identity who, Deployment& one) {
  THAW_CO_TRY(const gateway::Model model, find_model(cx, who, one.model_owner, one.model_name));
  gateway::ModelVersion version = model.latest;
  if (!one.version.empty()) {
    THAW_CO_TRY(version, find_version(cx, who, model, one.version));
  }
  one.version = version.card->id;
  one.dialect = version.spec->dialect;
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(gateway::Draft draft, cx.owners.releases.begin(scope, one.dialect, one.function));
  const model::FunctionSpec place = std::move(draft.spec);
  draft.spec = *version.spec;
  draft.spec.id = place.id;
  draft.spec.version = place.version;
  draft.spec.app = place.app;
  draft.spec.workspace = place.workspace;
  draft.spec.environment = place.environment;
  draft.spec.name = place.name;
  draft.spec.web.clear();
  draft.spec.schedule.reset();
  // It is no model of its own, for who lists these.
  draft.spec.definition = std::string(catalog::own_definition(version.spec->definition));
  draft.spec.scaling.min_containers = one.min_instances;
  draft.spec.scaling.max_containers = one.max_instances;
  draft.keep = 1;
  // While it is deployed the model keeps this version, however often it is pushed anew.
  THAW_CO_TRY([[maybe_unused]] const model::Alias alias,
              co_await cx.owners.versions.set_alias(scope, model.published.function->id,
                                                    alias_of(one), {{version.spec->version, 1}}));
  THAW_CO_TRY([[maybe_unused]] const gateway::Published published,
              co_await cx.owners.releases.publish(scope, std::move(draft)));
  co_return ok();
}

Task<void> remove(Context& cx, gateway::Identity who, Deployment one) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  if (const auto published = cx.owners.invoke.find(scope, one.dialect, one.function)) {
    THAW_CO_TRY_VOID(
        co_await cx.owners.deployments.stop_app(published->app->id, "the deployment was deleted"));
  }
  if (const auto model = find_model(cx, who, one.model_owner, one.model_name)) {
    const Result<void> removed = co_await cx.owners.versions.remove_alias(
        scope, model->published.function->id, alias_of(one));
    if (!removed && removed.error().code() != Code::not_found) {
      co_return removed;
    }
  }
  co_return ok();
}

Task<Json> store(Context& cx, const gateway::Identity& who, Deployment one) {
  model::Document document;
  document.place = place_of(who);
  document.name = one.name;
  document.text = write_deployment(one);
  document.created_at = wall_now();
  THAW_CO_TRY(const auto stored, co_await cx.owners.documents.put(std::move(document)));
  co_return json_of(one, *stored);
}

Result<std::shared_ptr<const model::Document>> find_document(const Context& cx,
                                                             const gateway::Identity& who,
                                                             const std::string& owner,
                                                             const std::string& name) {
  auto found = cx.owners.documents.find(place_of(who), name);
  if (found && owner == owner_of(cx, who)) {
    return found;
  }
  return Error::not_found("no deployment '" + owner.substr(0, 63) + "/" + name.substr(0, 63) +
                          "' is here");
}

}  // namespace

Result<DeploymentTarget> find_deployment(Context& cx, const gateway::Identity& who,
                                         const std::string& owner, const std::string& name) {
  THAW_TRY(const auto document, find_document(cx, who, owner, name));
  THAW_TRY(const Deployment one, read_deployment(*document));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  const auto published = cx.owners.invoke.find(scope, one.dialect, one.function);
  THAW_TRY(const gateway::Model model, find_model(cx, who, one.model_owner, one.model_name));
  THAW_TRY(const gateway::ModelVersion version, find_version(cx, who, model, one.version));
  if (!published) {
    return Error::not_found("the function of deployment '" + name + "' was removed");
  }
  DeploymentTarget target;
  THAW_TRY(target.route, cx.owners.versions.route(scope, *published->function, ""));
  target.card = version.card;
  return target;
}

Task<void> serve_new_deployment(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const Json body, co_await read_object(exchange, most_body_bytes));
  Deployment one;
  std::string model;
  codec::Fields fields(body);
  fields.read("name", one.name);
  fields.read("model", model);
  fields.read("version", one.version);
  const std::size_t slash = model.find('/');
  if (const auto read = fields.outcome(); !read || slash == std::string::npos) {
    co_return Error::invalid_argument(read ? "model: has to be OWNER/NAME"
                                           : read.error().message());
  }
  if (const auto named = model::check_alias_name(one.name); !named || one.name.size() > 50) {
    co_return Error::invalid_argument("name: takes 1 to 50 letters a-z, digits and dashes");
  }
  one.owner = owner_of(cx, who);
  one.model_owner = model.substr(0, slash);
  one.model_name = model.substr(slash + 1);
  one.function = one.name + "-deployment";
  THAW_CO_TRY_VOID(read_limits(body, one));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const auto environment, scope.environment_named(""));
  if (cx.owners.documents.find(place_of(who), one.name) ||
      scope.deployed_app(environment->id, one.function)) {
    co_return Error::already_exists("a deployment '" + one.name + "' is here already");
  }
  THAW_CO_TRY_VOID(co_await publish(cx, who, one));
  THAW_CO_TRY(Json made, co_await store(cx, who, std::move(one)));
  co_return co_await answer_json(exchange, 201, std::move(made));
}

Task<void> serve_deployments(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const auto all = cx.owners.documents.list(place_of(who));
  const std::string address = base_of(cx, exchange.request()) + "/deployments";
  co_return co_await answer_page(exchange, address, all.size(), [&](std::size_t i) {
    const auto one = read_deployment(*all[i]);
    return one ? json_of(*one, *all[i]) : Json{{"name", all[i]->name}};
  });
}

Task<void> serve_deployment(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                            std::string owner, std::string name) {
  const std::string method = exchange.request().method;
  THAW_CO_TRY(const Json body, co_await read_object(exchange, most_body_bytes));
  THAW_CO_TRY(const auto document, find_document(cx, who, owner, name));
  THAW_CO_TRY(Deployment one, read_deployment(*document));
  if (method == "GET") {
    co_return co_await answer_json(exchange, 200, json_of(one, *document));
  }
  if (method == "DELETE") {
    THAW_CO_TRY_VOID(co_await remove(cx, std::move(who), std::move(one)));
    THAW_CO_TRY_VOID(co_await cx.owners.documents.erase(*document));
    co_return co_await answer_nothing(exchange);
  }
  THAW_CO_TRY_VOID(read_limits(body, one));
  codec::Fields fields(body);
  fields.read("version", one.version);
  if (const auto read = fields.outcome(); !read) {
    co_return Error::invalid_argument(read.error().message());
  }
  ++one.number;
  THAW_CO_TRY_VOID(co_await publish(cx, who, one));
  THAW_CO_TRY(Json changed, co_await store(cx, who, std::move(one)));
  co_return co_await answer_json(exchange, 200, std::move(changed));
}

}  // namespace thaw::dialect::replicate
