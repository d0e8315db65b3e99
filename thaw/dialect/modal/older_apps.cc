// SPDX-License-Identifier: Apache-2.0
// What only older clients ask for: publishing in two steps, an app's objects as a list, and what is
// pickled of a function. Later ones publish in one, and get both of these with their arguments.
#include "thaw/dialect/modal/older_apps.h"

#include <map>

#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/older_methods.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// Every object of `layout`, under its tag if it has one; of classes their methods too.
void add_items(const pb::AppLayout& layout, const catalog::Scope& scope,
               const WebAddresses& addresses, pb::AppGetObjectsResponse& reply) {
  std::multimap<std::string, std::string> tags;  // by id
  for (const auto* named : {&layout.function_ids(), &layout.class_ids()}) {
    for (const auto& [tag, id] : *named) {
      tags.emplace(id, tag);
    }
  }
  std::map<std::string, pb::ClassHandleMetadata> classes;  // by the tag of their service function
  for (const auto& [tag, id] : layout.class_ids()) {
    const auto service = layout.function_ids().find(service_tag(tag));
    const auto function =
        service == layout.function_ids().end() ? nullptr : scope.function(service->second);
    classes[tag] = class_metadata(function ? function->live().get() : nullptr, addresses);
  }
  for (const auto& object : layout.objects()) {
    const auto [first, last] = tags.equal_range(object.object_id());
    if (first == last) {
      *reply.add_items()->mutable_object() = object;
    }
    for (auto one = first; one != last; ++one) {
      auto* item = reply.add_items();
      item->set_tag(one->second);
      *item->mutable_object() = object;
      if (const auto known = classes.find(one->second);
          known != classes.end() && object.has_class_handle_metadata()) {
        *item->mutable_object()->mutable_class_handle_metadata() = known->second;
      }
    }
  }
  for (const auto& [tag, metadata] : classes) {
    for (const auto& method : metadata.methods()) {
      auto* item = reply.add_items();
      item->set_tag(tag + "." + method.function_name());
      item->mutable_object()->set_object_id(method.function_id());
      *item->mutable_object()->mutable_function_handle_metadata() =
          method.function_handle_metadata();
    }
  }
}

Task<pb::AppGetObjectsResponse> get_objects(Context& cx, net::GrpcCall& call,
                                            pb::AppGetObjectsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  const catalog::Scope scope = scope_of(cx, who);
  const WebAddresses addresses = addresses_for(cx, call);
  pb::AppLayout layout;
  const auto own = who.container.empty() ? Result<std::shared_ptr<const model::FunctionSpec>>(
                                               Error::not_found("no container asks"))
                                         : find_container(cx, who, who.container.str());
  if (own && (*own)->app == app->id) {
    THAW_CO_TRY(const pb::Function definition, parse_definition(**own));
    layout = layout_in_container(cx, **own, definition, addresses);
  } else if (who.reach == model::Reach::inputs) {
    co_return Error::permission_denied(
        "AppGetObjects of another app is refused: this function was made with "
        "restrict_modal_access=True");
  } else {
    layout = layout_of(cx, *app, addresses);
  }
  pb::AppGetObjectsResponse reply;
  add_items(layout, scope, addresses, reply);
  co_return reply;
}

Task<pb::FunctionGetSerializedResponse> get_serialized(Context& cx, net::GrpcCall& call,
                                                       pb::FunctionGetSerializedRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  std::shared_ptr<const model::FunctionSpec> spec;
  if (!who.container.empty()) {
    THAW_CO_TRY(spec, find_container(cx, who, who.container.str()));
  }
  // A container gets what it was started with, whatever is live by now.
  if (!spec || spec->id.str() != request.function_id()) {
    if (who.reach == model::Reach::inputs) {
      co_return Error::permission_denied(
          "FunctionGetSerialized of another function is refused: this function was made with "
          "restrict_modal_access=True");
    }
    THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
    THAW_CO_TRY(spec, live_spec(*function));
  }
  THAW_CO_TRY(pb::Function definition, parse_definition(*spec));
  pb::FunctionGetSerializedResponse reply;
  reply.set_function_serialized(std::move(*definition.mutable_function_serialized()));
  reply.set_class_serialized(std::move(*definition.mutable_class_serialized()));
  co_return reply;
}

// What an app consists of; who deploys it names it afterwards.
Task<Empty> set_objects(Context& cx, net::GrpcCall& call, pb::AppSetObjectsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppPublishRequest publication;
  publication.set_app_id(app->id.str());
  publication.set_app_state(request.new_app_state());
  for (const auto& [tag, id] : request.indexed_object_ids()) {
    if (id.starts_with("fu-")) {
      (*publication.mutable_function_ids())[tag] = id;
    } else if (id.starts_with("cs-")) {
      (*publication.mutable_class_ids())[tag] = id;
    }
  }
  if (publication.app_state() == pb::APP_STATE_UNSPECIFIED) {
    // Its client says in a moment by which name: one deployment, and no state between.
    auto kept = std::make_shared<const pb::AppPublishRequest>(std::move(publication));
    const std::size_t bytes = kept->SpaceUsedLong();
    cx.objects_to_deploy->by_app.put(who.workspace, app->id.str(), std::move(kept), bytes,
                                     monotonic_now());
    co_return Empty();
  }
  THAW_CO_TRY([[maybe_unused]] const model::App published,
              co_await publish_app(cx, who, std::move(publication)));
  co_return Empty();
}

Task<pb::AppDeployResponse> deploy(Context& cx, net::GrpcCall& call, pb::AppDeployRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto known, find_app(cx, who, request.app_id()));
  const auto said = cx.objects_to_deploy->by_app.find(who.workspace, known->id.str());
  if (!said) {
    co_return Error::failed_precondition("of what app '" + known->id.str() +
                                         "' consists is not known any more: deploy again");
  }
  pb::AppPublishRequest publication = *said;
  publication.set_app_state(pb::APP_STATE_DEPLOYED);
  publication.set_name(request.name());
  publication.set_deployment_tag(request.tag());
  publication.set_client_version(
      std::string(call.metadata().find("x-modal-client-version").value_or("")));
  THAW_CO_TRY(const model::App app, co_await publish_app(cx, who, std::move(publication)));
  cx.objects_to_deploy->by_app.erase(who.workspace, app.id.str());
  pb::AppDeployResponse reply;
  reply.set_url(page_of_app(cx, call, app.id));
  co_return reply;
}

Task<pb::AppLookupResponse> look_up(Context& cx, net::GrpcCall& call,
                                    pb::AppLookupRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  const auto app = scope_of(cx, who).deployed_app(environment->id, request.app_name());
  if (!app) {
    co_return Error::not_found("app '" + request.app_name().substr(0, 80) +
                               "' is not deployed in environment '" + environment->name + "'");
  }
  pb::AppLookupResponse reply;
  reply.set_app_id(app->id.str());
  co_return reply;
}

}  // namespace

void add_older_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "AppGetObjects", get_objects);
  add_once(table, cx, "AppSetObjects", set_objects);
  add_once(table, cx, "AppDeploy", deploy);
  add(table, cx, "AppLookup", look_up);
  add(table, cx, "FunctionGetSerialized", get_serialized);
}

}  // namespace thaw::dialect::modal
