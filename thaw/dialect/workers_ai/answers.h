// SPDX-License-Identifier: Apache-2.0
//
// How this API answers: JSON in an envelope, and refusals with the numbers that its clients know;
// inside of a Worker's binding without the envelope, and with refusals in a form of its own. Loop
// thread only.
#pragma once

#include <string>

#include "thaw/codec/json.h"
#include "thaw/net/http.h"

namespace thaw::dialect::workers_ai {

// Who is answered: a client of the API, or a Worker's binding.
enum class Face { api, binding };

struct Refusal {
  int status = 500;
  int code = 0;
  std::string message;
  bool may_retry = false;  // clients ask again by themselves unless they are told not to
};
// What an error means to clients.
Refusal refusal_of(const Error& error);
// Of a name that no model has. Its code is not_found, which refusal_of() takes for a wrong address.
Refusal no_such_model(const std::string& name);

codec::Json envelope(codec::Json result);
codec::Json envelope_of(const Refusal& refusal);

async::Task<void> answer_json(net::HttpExchange& exchange, int status, codec::Json body);
// In an envelope, or bare.
async::Task<void> answer_result(net::HttpExchange& exchange, Face face, codec::Json result);
async::Task<void> answer_refusal(net::HttpExchange& exchange, Face face, Refusal refusal);
// Bytes of a file.
async::Task<void> answer_bytes(net::HttpExchange& exchange, std::string type, std::string bytes);

}  // namespace thaw::dialect::workers_ai
