// SPDX-License-Identifier: Apache-2.0
//
// Requests to a web_server function: each waits for a container that is ready, as long as its
// caller does, and then goes straight to the container's own port. What both kinds of endpoints
// answer when there is no answer of the function's own is here too.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/calls.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// How a caller shows a token to an endpoint that asks for one. User code never sees them.
inline constexpr std::string_view key_header = "modal-key";
inline constexpr std::string_view secret_header = "modal-secret";

// What a caller says in these headers does not reach the application, in any spelling of theirs,
// nor what is said in `hidden` ones: those that have shown a token.
bool is_withheld(std::string_view header, const std::vector<std::string>& hidden);

inline std::string error_body(const std::string& text) {
  return codec::dump_json({{"error", text}}) + "\n";
}

inline int status_of(const pb::GenericResult& result) {
  return result.status() == pb::GenericResult::GENERIC_STATUS_TIMEOUT ? 504 : 500;
}

// `path` as the server inside is to see it, without the query; `root_path`: what stands before it
// at this address. Errors are the caller's to answer: resource_exhausted (too many wait),
// unavailable, deadline_exceeded (a start or the function's own timeout), cancelled (nobody is
// there any more).
async::Task<void> serve_port(Context& cx, net::HttpExchange& exchange,
                             std::shared_ptr<const model::FunctionSpec> spec,
                             model::WebEndpoint web, std::string path, std::string root_path,
                             std::vector<std::string> hidden);

}  // namespace thaw::dialect::modal
