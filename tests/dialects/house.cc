// SPDX-License-Identifier: Apache-2.0
#include "tests/dialects/house.h"

#include <utility>

#include "thaw/codec/ids.h"
#include "thaw/gateway/image_builds.h"

namespace thaw::dialects_test {

using async::Task;

Result<gateway::Identity> identify(const gateway::Owners& owners, const std::string& key) {
  const std::size_t colon = key.find(':');
  if (colon == std::string::npos) {
    return Error::unauthenticated("a key is TOKEN_ID:SECRET; `thaw token create` makes one");
  }
  return owners.access.from_token(key.substr(0, colon), key.substr(colon + 1));
}

namespace {

Task<model::ImageId> python_image(const gateway::Owners& owners, model::WorkspaceId workspace) {
  image::Recipe recipe;
  recipe.dockerfile = {"FROM python:3.11-slim"};
  recipe.workspace = workspace.str();
  THAW_CO_TRY(const std::string key, owners.images.key_of(recipe));
  model::Image image;
  image.id = model::ImageId("im-" + key.substr(0, 22));
  image.workspace = workspace;
  image.key = key;
  if (owners.images.find(key)) {
    THAW_CO_TRY_VOID(co_await owners.catalog.images.put(image));
    co_return image.id;
  }
  auto build = owners.builds.find(workspace, image.id);
  if (!build) {
    THAW_CO_TRY_VOID(owners.builds.start(image, std::move(recipe)));
    build = owners.builds.find(workspace, image.id);
  }
  while (build->state == gateway::ImageBuilds::State::running) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await build->changed.wait(monotonic_now() + 1s));
  }
  if (build->state == gateway::ImageBuilds::State::failed) {
    co_return Error::failed_precondition(build->failure);
  }
  co_return image.id;
}

Task<model::App> app_of(const gateway::Owners& owners, catalog::Scope scope, gateway::Identity who,
                        std::string name, std::string dialect) {
  THAW_CO_TRY(const auto environment, scope.environment_named(""));
  if (const auto known = scope.deployed_app(environment->id, name)) {
    if (!find(owners, who, dialect, name)) {
      co_return Error::already_exists("an app '" + name + "' is there, of another dialect");
    }
    co_return *known;
  }
  model::App app;
  app.id = model::AppId(codec::random_id("ap"));
  app.workspace = who.workspace;
  app.environment = environment->id;
  app.description = name;
  app.created_at = wall_now();
  THAW_CO_TRY_VOID(co_await owners.catalog.apps.put(app));
  co_return app;
}

}  // namespace

Task<model::FunctionId> publish(const gateway::Owners& owners, gateway::Identity who,
                                model::FunctionSpec spec) {
  const catalog::Scope scope = gateway::scope_of(owners.catalog, who);
  THAW_CO_TRY(spec.image, co_await python_image(owners, who.workspace));
  THAW_CO_TRY(const model::App app, co_await app_of(owners, scope, who, spec.name, spec.dialect));
  catalog::Function record;
  if (const auto known = app.functions.find(spec.name); known != app.functions.end()) {
    record = *scope.function(known->second.str());
  } else {
    record.id = model::FunctionId(codec::random_id("fu"));
    record.app = app.id;
    record.workspace = who.workspace;
    record.tag = spec.name;
  }
  spec.id = record.id;
  spec.version = codec::random_id("de");
  spec.app = app.id;
  spec.workspace = who.workspace;
  spec.environment = app.environment;
  spec.reach = model::Reach::inputs;
  gateway::Publication publication;
  publication.functions[spec.name] = {record.id, spec.version};
  publication.state = model::AppState::deployed;
  publication.name = spec.name;
  record.versions[spec.version] = std::make_shared<const model::FunctionSpec>(spec);
  THAW_CO_TRY_VOID(co_await owners.catalog.functions.put(record));
  THAW_CO_TRY([[maybe_unused]] const model::App published,
              co_await owners.deployments.publish(scope, app.id.str(), std::move(publication)));
  co_return record.id;
}

Result<Found> find(const gateway::Owners& owners, const gateway::Identity& who,
                   const std::string& dialect, const std::string& name) {
  const catalog::Scope scope = gateway::scope_of(owners.catalog, who);
  THAW_TRY(const auto environment, scope.environment_named(""));
  const auto app = scope.deployed_app(environment->id, name);
  const auto member = app ? app->functions.find(name) : decltype(app->functions.end()){};
  const auto function =
      app && member != app->functions.end() ? scope.function(member->second.str()) : nullptr;
  const auto spec = function ? function->live() : nullptr;
  if (!spec || spec->dialect != dialect) {
    return Error::not_found("there is no function '" + name.substr(0, 63) + "'");
  }
  return Found{app, spec};
}

Task<model::CallId> begin(const gateway::Owners& owners, Found function, model::Payload payload,
                          CallOptions options) {
  model::NewCall call;
  call.id = model::CallId(codec::random_id("fc"));
  call.workspace = function.spec->workspace;
  call.app = function.app->id;
  call.function = function.spec->id;
  call.durability = options.durability;
  call.retry = function.spec->retry;
  call.limits = options.limits;
  model::CallId id = call.id;
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, std::move(payload)});
  THAW_CO_TRY([[maybe_unused]] const auto ids,
              co_await owners.queue.create(std::move(call), std::move(inputs)));
  co_return id;
}

namespace {

Task<void> check_owner(const gateway::Owners& owners, model::WorkspaceId workspace,
                       model::CallId call) {
  const auto info = co_await owners.queue.info(call);
  if (!info || info->call.workspace != workspace) {
    co_return Error::not_found("there is no call '" + call.str().substr(0, 63) + "'");
  }
  co_return ok();
}

}  // namespace

Task<std::vector<model::LogEntry>> ends_of(const gateway::Owners& owners,
                                           model::WorkspaceId workspace, model::CallId call,
                                           Instant until) {
  THAW_CO_TRY_VOID(co_await check_owner(owners, std::move(workspace), call));
  std::function<bool(const model::LogEntry&)> is_end = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_;
  };
  co_return co_await owners.queue.read(std::move(call), 0, 1, until, std::move(is_end));
}

Task<void> cancel(const gateway::Owners& owners, model::WorkspaceId workspace, model::CallId call) {
  THAW_CO_TRY_VOID(co_await check_owner(owners, std::move(workspace), call));
  THAW_CO_TRY(const auto running, co_await owners.queue.cancel(call));
  owners.fleet.cancel_inputs(running, control::Fleet::StopHow::graceful);
  co_return ok();
}

Task<void> answer_json(net::HttpExchange& exchange, int status, codec::Json json) {
  co_return co_await exchange.answer(status, "application/json", codec::dump_json(json) + "\n");
}

}  // namespace thaw::dialects_test
