// SPDX-License-Identifier: Apache-2.0
//
// What a model has told, whichever way it was spoken to: a piece of it as it comes (Told), and how
// it has ended (Ended). Pure; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "thaw/codec/json.h"
#include "thaw/gateway/prediction_log.h"
#include "thaw/model/call.h"

namespace thaw::dialect::workers_ai {

struct Told {
  std::string text;
  codec::Json tool_calls;  // null: none
  codec::Json usage;       // null: it says nothing of it
  std::string finish;      // why it ends here; empty: it does not
  codec::Json chunk;       // as its server has told it; null: it has no such form
};

// Of an entry that is a chunk, one after the other; its payload is whole.
void each_told(const model::LogEntry& entry, const std::function<void(const Told& told)>& take);

struct Ended {
  codec::Json output;                                // of a model with a contract
  codec::Json metrics;                               // the same
  std::map<std::string, gateway::OutputFile> files;  // beside its output
  codec::Json answer;  // of a server without one; null: it was told in pieces
};

// Of an entry that is final. The error is what its caller is told: invalid_argument (the server
// does not take it), aborted (the model's own failure), deadline_exceeded, cancelled, unavailable.
Result<Ended> read_end(const model::LogEntry& entry);

}  // namespace thaw::dialect::workers_ai
