// SPDX-License-Identifier: Apache-2.0
//
// From what clients of this cloud send to a request for a server that has no contract, but the API
// that most servers of language models have: /v1/chat/completions, /v1/completions and
// /v1/embeddings. Pure; any thread.
#pragma once

#include <string>

#include "thaw/codec/json.h"

namespace thaw::dialect::workers_ai {

struct ServerRequest {
  std::string path;
  codec::Json body;
};

// `model`: what the server is told as the model's name. invalid_argument, or unimplemented for a
// task that such servers do not have.
Result<ServerRequest> server_request(const codec::Json& given, const std::string& model,
                                     bool streams);

}  // namespace thaw::dialect::workers_ai
