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
std::string input_payload(const pb::FunctionInput& input,
                          pb::FunctionCallInvocationType invocation);
// A container's own output, ready for the caller.
model::Outcome outcome_of(const pb::FunctionPutOutputsItem& item, const model::ContainerId& id);
std::string result_payload(const pb::GenericResult& result, pb::DataFormat format);
// The result of an outcome that the platform, not the container, produced.
pb::GenericResult platform_result(model::OutcomeKind kind, const std::string& message);
// Its words where the queue, which has none, ended an input or no longer has its result.
std::string platform_text(model::OutcomeKind kind);

}  // namespace thaw::dialect::modal
