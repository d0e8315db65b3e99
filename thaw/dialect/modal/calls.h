// SPDX-License-Identifier: Apache-2.0
//
// The dialect's payloads in the queue: an input is a FunctionGetInputsItem (arguments and how the
// call was made), an outcome a FunctionGetOutputsItem (result and its format), a chunk a DataChunk.
#pragma once

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/calls.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// Entry ids of outputs and log batches are "<number>-0": clients send the last one back as it is.
std::uint64_t entry_number(const std::string& entry_id);

// The content types of these payloads. One without a type is of a data folder from before payloads
// had one, when there was no other dialect.
inline constexpr std::string_view input_type = "application/vnd.modal.input";
inline constexpr std::string_view output_type = "application/vnd.modal.output";
inline constexpr std::string_view chunk_type = "application/vnd.modal.chunk";
// Of what a container says in one message, the most that is kept.
inline constexpr std::uint64_t most_stored_bytes = 32u << 20;
inline bool is_of(const model::Payload& payload, std::string_view type) {
  return payload.content_type == type || (payload.content_type.empty() && !payload.bytes.empty());
}

// A call as `.spawn()` makes it, with no arguments.
gateway::CallbackCall call_without_arguments(const gateway::Route& route);
model::Payload input_payload(const pb::FunctionInput& input,
                             pb::FunctionCallInvocationType invocation);
pb::GenericResult::GenericStatus status_of(model::OutcomeKind kind);
// A container's own output, ready for the caller.
model::Outcome outcome_of(const pb::FunctionPutOutputsItem& item, const model::ContainerId& id);
// A container's own failure, outside of any input.
model::Outcome outcome_of(const pb::GenericResult& failure);
// What a caller gets: what the container said, or the platform's failure in this dialect's form.
// data_loss if it cannot be read.
Result<pb::FunctionGetOutputsItem> output_of(const model::Outcome& outcome, WallTime at);
Result<pb::FunctionGetOutputsItem> output_of(const model::LogEntry& final_entry);

}  // namespace thaw::dialect::modal
