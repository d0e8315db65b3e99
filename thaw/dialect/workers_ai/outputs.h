// SPDX-License-Identifier: Apache-2.0
//
// From what models give to what clients of this cloud get, task by task; and of what servers of
// language models give. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thaw/codec/data_url.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/workers_ai/contract.h"
#include "thaw/dialect/workers_ai/task.h"

namespace thaw::dialect::workers_ai {

// By what went in and what it says to give; what has come out decides where that does not.
ModelTask task_of(const codec::Json& given, Contract::Gives gives, const codec::Json& output);

// One text of it, however it comes.
std::string text_of(const codec::Json& output);
// A file, where the output is one or a list that begins with one.
std::optional<codec::DataUrl> file_of(const codec::Json& output);
// A row of numbers for each text. failed_precondition: the output has none.
Result<codec::Json> embeddings_of(const std::vector<codec::Json>& outputs);
// {"prompt_tokens": …}; null: the model says nothing of it.
codec::Json usage_of(const codec::Json& metrics);

// What stands in the place of `result`. failed_precondition: the output is none of the task.
Result<codec::Json> result_of(ModelTask task, const std::vector<codec::Json>& outputs,
                              const codec::Json& metrics);
// The same, of a server's whole answer. `wants_json`: the text is JSON, and is told as that.
codec::Json result_of_server(const codec::Json& answer, bool wants_json);

}  // namespace thaw::dialect::workers_ai
