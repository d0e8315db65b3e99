// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/older_methods.h"

#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/functions.h"
#include "thaw/dialect/modal/older_clients.h"
#include "thaw/store/blob_store.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// Fields that name the service function and the method, and have left the schema.
constexpr int service_of_precreate = 6;
constexpr int method_of_precreate = 7;
constexpr int service_of_function = 54;
constexpr int method_of_function = 55;
constexpr int service_of_handle = 40;

constexpr int most_methods = 1000;
constexpr std::size_t longest_method = 1000;

std::optional<OlderMethod> named(std::string service, std::string method) {
  if (service.empty() || method.empty()) {
    return std::nullopt;
  }
  return OlderMethod{std::move(service), std::move(method)};
}

// The same for ever, so that it need not be kept. Of its app and its name ("Counter.add"): clients
// ask for it before the service function has an id.
std::string method_id(const model::AppId& app, const std::string& name) {
  return "fu-" + store::sha256_hex("method of a class\n" + app.str() + "\n" + name).substr(0, 22);
}

// "Counter.add" of "Counter.*".
std::string full_name(const std::string& service_tag, const std::string& method) {
  return service_tag.substr(0, service_tag.rfind('.') + 1) + method;
}

// A method's handle, as these clients read it.
pb::FunctionHandleMetadata in_older_words(pb::FunctionHandleMetadata handle,
                                          const model::FunctionSpec& service) {
  handle.set_definition_id(service.version);
  set_former_text(handle, service_of_handle, service.id.str());
  return handle;
}

// not_found: the definition has no such method.
Result<pb::FunctionHandleMetadata> method_handle(const model::FunctionSpec& service,
                                                 const std::string& method,
                                                 const WebAddresses& addresses) {
  pb::FunctionHandleMetadata whole = handle_metadata(service, addresses);
  const auto found = whole.mutable_method_handle_metadata()->find(method);
  if (found == whole.mutable_method_handle_metadata()->end()) {
    return Error::not_found("'" + service.name + "' has no method '" + method + "'");
  }
  return in_older_words(std::move(found->second), service);
}

Result<std::shared_ptr<const catalog::Function>> service_in(Context& cx, const model::App& app,
                                                            const OlderMethod& method) {
  const catalog::Scope scope(cx.parts.catalog, app.workspace);
  auto service = scope.function(method.service);
  if (!service || service->app != app.id) {
    return Error::not_found("method '" + method.name.substr(0, 80) + "' is of function '" +
                            method.service.substr(0, 80) + "', which does not exist in app '" +
                            app.id.str() + "'");
  }
  return service;
}

// The newest version, of which nothing is published.
Result<std::shared_ptr<const model::FunctionSpec>> draft_of(const catalog::Function& function) {
  for (const auto& [version, spec] : function.versions) {
    if (version != function.live_version) {
      return spec;
    }
  }
  return Error::failed_precondition("class '" + function.tag +
                                    "' is not being deployed: create its service function first");
}

Result<void> add_method(pb::Function& service, const std::string& name, const pb::Function& added) {
  auto& methods = *service.mutable_method_definitions();
  if (name.size() > longest_method || (methods.size() >= most_methods && !methods.contains(name))) {
    return Error::invalid_argument(
        "class '" + service.function_name() + "' has at most " + std::to_string(most_methods) +
        " methods, with names of at most " + std::to_string(longest_method) + " bytes");
  }
  pb::MethodDefinition& method = methods[name];
  method.set_function_name(added.function_name());
  method.set_function_type(added.function_type());
  *method.mutable_webhook_config() = added.webhook_config();
  service.set_method_definitions_set(true);
  return ok();
}

// What is told of a class is told by one at a time.
class Turn {
 public:
  Turn(ClassesInCreation& classes, model::FunctionId id) : classes_(classes), id_(std::move(id)) {
    classes_.busy.insert(id_);
  }
  ~Turn() {
    classes_.busy.erase(id_);
    classes_.freed.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  ClassesInCreation& classes_;
  model::FunctionId id_;
};

}  // namespace

std::optional<OlderMethod> older_method(const pb::FunctionPrecreateRequest& request) {
  std::string method = former_text(request, method_of_precreate);
  if (method.empty()) {
    return std::nullopt;
  }
  return OlderMethod{former_text(request, service_of_precreate), std::move(method)};
}

std::optional<OlderMethod> older_method(const pb::Function& definition) {
  return named(former_text(definition, service_of_function),
               former_text(definition, method_of_function));
}

Result<pb::FunctionPrecreateResponse> precreate_method(
    Context& cx, const WebAddresses& addresses, const model::App& app, const OlderMethod& method,
    const pb::FunctionPrecreateRequest& request) {
  model::FunctionSpec spec;
  if (!method.service.empty()) {
    THAW_TRY(const auto service, service_in(cx, app, method));
    spec.id = service->id;
    spec.name = service->tag;
  }
  pb::Function added;
  added.set_function_name(request.function_name());
  added.set_function_type(request.function_type());
  *added.mutable_webhook_config() = request.webhook_config();
  pb::Function sketch;
  THAW_TRY_VOID(add_method(sketch, method.name, added));
  spec.app = app.id;
  spec.workspace = app.workspace;
  THAW_TRY(spec.web, endpoints_of(cx, sketch, app));
  sketch.SerializeToString(&spec.definition);
  pb::FunctionPrecreateResponse reply;
  reply.set_function_id(method_id(app.id, request.function_name()));
  THAW_TRY(*reply.mutable_handle_metadata(), method_handle(spec, method.name, addresses));
  return reply;
}

Task<pb::FunctionCreateResponse> create_method(Context& cx, WebAddresses addresses,
                                               std::shared_ptr<const model::App> app,
                                               OlderMethod method, pb::Function definition) {
  const model::FunctionId id(method.service);
  while (cx.classes_in_creation->busy.contains(id)) {
    THAW_CO_TRY([[maybe_unused]] const bool woken,
                co_await cx.classes_in_creation->freed.wait(Instant::max()));
  }
  const Turn turn(*cx.classes_in_creation, id);
  THAW_CO_TRY(const auto service, service_in(cx, *app, method));
  THAW_CO_TRY(const auto draft, draft_of(*service));
  THAW_CO_TRY(pb::Function whole, parse_definition(*draft));
  THAW_CO_TRY_VOID(add_method(whole, method.name, definition));
  if (const auto checked = spec_from(whole); !checked) {
    co_return checked.error();
  }
  auto spec = std::make_shared<model::FunctionSpec>(*draft);
  THAW_CO_TRY(spec->web, endpoints_of(cx, whole, *app));
  THAW_CO_TRY_VOID(cx.parts.labels.check(*app, *spec));
  whole.SerializeToString(&spec->definition);
  pb::FunctionCreateResponse reply;
  reply.set_function_id(method_id(app->id, full_name(service->tag, method.name)));
  THAW_CO_TRY(*reply.mutable_handle_metadata(), method_handle(*spec, method.name, addresses));
  *reply.mutable_function() = std::move(definition);
  reply.mutable_function()->set_web_url(reply.handle_metadata().web_url());
  catalog::Function record = *service;
  record.versions[spec->version] = spec;
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.functions.put(std::move(record)));
  co_return reply;
}

void drop_methods(pb::AppPublishRequest& request) {
  const model::AppId app(request.app_id());
  auto& functions = *request.mutable_function_ids();
  for (auto one = functions.begin(); one != functions.end();) {
    const std::string& tag = one->first;
    const std::size_t dot = tag.rfind('.');
    const auto service = dot == std::string::npos ? functions.end()
                                                  : functions.find(service_tag(tag.substr(0, dot)));
    const bool is_method =
        service != functions.end() && service != one && method_id(app, tag) == one->second;
    one = is_method ? functions.erase(one) : std::next(one);
  }
}

std::optional<pb::FunctionGetResponse> find_method(const catalog::Scope& scope,
                                                   const model::App& app, const std::string& tag,
                                                   const WebAddresses& addresses) {
  const std::size_t dot = tag.rfind('.');
  if (dot == std::string::npos) {
    return std::nullopt;
  }
  const auto found = app.functions.find(service_tag(tag.substr(0, dot)));
  const auto service = found == app.functions.end() ? nullptr : scope.function(found->second.str());
  if (!service || !service->live()) {
    return std::nullopt;
  }
  const std::string method = tag.substr(dot + 1);
  Result<pb::FunctionHandleMetadata> handle = method_handle(*service->live(), method, addresses);
  if (!handle) {
    return std::nullopt;
  }
  pb::FunctionGetResponse reply;
  reply.set_function_id(method_id(app.id, tag));
  *reply.mutable_handle_metadata() = std::move(*handle);
  return reply;
}

pb::ClassHandleMetadata class_metadata(const model::FunctionSpec* service,
                                       const WebAddresses& addresses) {
  pb::ClassHandleMetadata out;
  if (service == nullptr) {
    return out;
  }
  const pb::FunctionHandleMetadata whole = handle_metadata(*service, addresses);
  out.set_class_function_id(service->id.str());  // 0.63 asks for no other
  *out.mutable_class_function_metadata() = whole;
  for (const auto& [name, handle] : whole.method_handle_metadata()) {
    pb::ClassMethod& method = *out.add_methods();
    method.set_function_name(name);
    method.set_function_id(method_id(service->app, full_name(service->name, name)));
    *method.mutable_function_handle_metadata() = in_older_words(handle, *service);
  }
  return out;
}

std::string service_tag(const std::string& class_tag) { return class_tag + ".*"; }

}  // namespace thaw::dialect::modal
