// SPDX-License-Identifier: Apache-2.0
//
// What a request for a prediction says, in its body and its headers, read and checked as far as
// that goes without looking anything up. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/codec/json.h"
#include "thaw/dialect/replicate/webhook_events.h"
#include "thaw/net/http.h"

namespace thaw::dialect::replicate {

struct PredictionRequest {
  std::string version;  // "OWNER/NAME:ID", "OWNER/NAME" or an id; empty: the path says
  codec::Json input = codec::Json::object();
  std::string webhook;
  WebhookEvents events;
  std::optional<Duration> wait;  // how long for its end, before it is answered
  std::optional<Duration> cancel_after;
};

inline constexpr Duration longest_wait = std::chrono::seconds(60);

// failed_precondition: the body is no JSON; invalid_argument names the field or header.
Result<PredictionRequest> read_prediction_request(std::string_view body,
                                                  const net::Headers& headers);

// "90", "90s", "5m", "1h30m": of 5 seconds to 24 hours. invalid_argument.
Result<Duration> read_time_span(std::string_view text);

}  // namespace thaw::dialect::replicate
