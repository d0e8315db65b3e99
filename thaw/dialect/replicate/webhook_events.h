// SPDX-License-Identifier: Apache-2.0
//
// Which events of a prediction its webhook is told of. Pure.
#pragma once

#include "thaw/codec/json.h"

namespace thaw::dialect::replicate {

struct WebhookEvents {
  bool start = true;
  bool output = true;
  bool logs = true;
  bool completed = true;
};

// A list of words; invalid_argument names what is none.
Result<WebhookEvents> read_events(const codec::Json& words);
codec::Json words_of(const WebhookEvents& events);

}  // namespace thaw::dialect::replicate
