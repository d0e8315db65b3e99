// SPDX-License-Identifier: Apache-2.0
//
// The life of an app: created, published, stopped. Ephemeral apps end with their client: when it
// says so, or when its heartbeats stay away (gateway/clientless_apps.h).
#pragma once

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// What a container or a redeploying client must know of an app.
pb::AppLayout layout_of(Context& cx, const model::App& app, const WebAddresses& addresses);
// The same for a container of `spec`: its own function too, and what `definition` depends on.
pb::AppLayout layout_in_container(Context& cx, const model::FunctionSpec& spec,
                                  const pb::Function& definition, const WebAddresses& addresses);
// Publishes what the request names, the methods of older clients as their service functions have
// them.
async::Task<model::App> publish_app(Context& cx, gateway::Identity who,
                                    pb::AppPublishRequest request, std::string key = {});
// Where an app is shown.
std::string page_of_app(const Context& cx, const net::GrpcCall& call, const model::AppId& id);
// Every few seconds: results and generators that nobody comes for.
async::Task<void> unread_loop(Context& cx);

}  // namespace thaw::dialect::modal
