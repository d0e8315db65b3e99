// SPDX-License-Identifier: Apache-2.0
//
// The part of this API that clients of OpenAI use: chats and embeddings. Loop thread only.
#pragma once

#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

// POST ai/v1/chat/completions
async::Task<void> serve_chat(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
// POST ai/v1/embeddings
async::Task<void> serve_embeddings(Context& cx, gateway::Identity who, net::HttpExchange& exchange);

}  // namespace thaw::dialect::workers_ai
