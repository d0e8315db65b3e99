// SPDX-License-Identifier: Apache-2.0
//
// Methods of classes as clients before 0.67 know them: each method is a function with an id of its
// own ("Counter.add"), which is called by way of the class's service function ("Counter.*"). Later
// clients send the methods as part of the service function's definition, and that is what is kept
// here of both: the older function is a name for a method of that definition. So an app that an
// older client has deployed is like any other, and each kind of client finds what the other made.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

struct OlderMethod {
  // The id of the class's service function; empty while it has none, as it is all precreated at
  // once.
  std::string service;
  std::string name;
};

// Functions of one class that are being told their methods: one after the other, or one is lost.
struct ClassesInCreation {
  std::set<model::FunctionId> busy;
  async::Event freed;
};

// What an older client means by these two, if it is a method.
std::optional<OlderMethod> older_method(const pb::FunctionPrecreateRequest& request);
std::optional<OlderMethod> older_method(const pb::Function& definition);

// not_found: the app has no such service function.
Result<pb::FunctionPrecreateResponse> precreate_method(Context& cx, const WebAddresses& addresses,
                                                       const model::App& app,
                                                       const OlderMethod& method,
                                                       const pb::FunctionPrecreateRequest& request);
// Tells the newest version of the service function, which is not published yet, of the method.
// failed_precondition: there is none; already_exists: a web label of it is another app's.
async::Task<pb::FunctionCreateResponse> create_method(Context& cx, WebAddresses addresses,
                                                      std::shared_ptr<const model::App> app,
                                                      OlderMethod method, pb::Function definition);

// Takes the methods out of what an app consists of, where their service function has them.
void drop_methods(pb::AppPublishRequest& request);

// "Counter.add" of an app, by its service function; nullopt if it is no such method.
std::optional<pb::FunctionGetResponse> find_method(const catalog::Scope& scope,
                                                   const model::App& app, const std::string& tag,
                                                   const WebAddresses& addresses);
// What older clients are told of a class: its methods with their functions. `service` may be null.
pb::ClassHandleMetadata class_metadata(const model::FunctionSpec* service,
                                       const WebAddresses& addresses);
// The tag of the service function of a class.
std::string service_tag(const std::string& class_tag);

}  // namespace thaw::dialect::modal
