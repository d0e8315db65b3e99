// SPDX-License-Identifier: Apache-2.0
//
// The life of an app: created, published, stopped. Ephemeral apps end with their client: when it
// says so, or when its heartbeats stay away.
#pragma once

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// Stops functions and containers, ends the log, keeps the record (as stopped) for readers of logs.
async::Task<void> stop_app(Context& cx, model::AppId app, std::string why);
// What a container or a redeploying client must know of an app.
pb::AppLayout layout_of(Context& cx, const model::App& app, const WebAddresses& addresses);
// Every few seconds: reaps ephemeral apps whose client is gone, erases what ended long ago.
async::Task<void> app_loop(Context& cx);
// already_exists names the app that holds a web label of this version; the app's own functions, and
// an app that this one replaces, give theirs up.
Result<void> check_web_labels(Context& cx, const model::App& app, const model::FunctionSpec& spec);
// Web labels of what is live, after a restart.
void rebuild_web_labels(Context& cx);

}  // namespace thaw::dialect::modal
