// SPDX-License-Identifier: Apache-2.0
//
// Errors as the protocol has them: a status, a word of its own, and a sentence for people.
#pragma once

#include <string>

#include "thaw/dialect/registry/context.h"
#include "thaw/net/http.h"

namespace thaw::dialect::registry {

struct Refusal {
  int status = 0;
  const char* code = "";
  std::string message;
};

// `headers` are sent besides.
async::Task<void> refuse(net::HttpExchange& exchange, Refusal refusal, net::Headers headers = {});
// An Error in the protocol's words; `invalid` is the word for what the client did wrong.
Refusal refusal_of(const Context& cx, const Error& error, const char* invalid);

}  // namespace thaw::dialect::registry
