// SPDX-License-Identifier: Apache-2.0
//
// The calls that predictions are: found again for who may see them, and read. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/dialect/replicate/context.h"
#include "thaw/dialect/replicate/prediction.h"

namespace thaw::dialect::replicate {

struct FoundPrediction {
  queue::CallInfo info;
  Memo memo;
};

// Of one that its caller has named himself: nobody else's can be the same.
model::CallId call_id_of(const model::WorkspaceId& workspace, const std::string& name);

// By its own id or its caller's. not_found.
async::Task<FoundPrediction> find_prediction(Context& cx, gateway::Identity who, std::string id);

// As it is now: of one that was found for who asks, or that a secret or a callback is of.
async::Task<queue::CallInfo> info_of(Context& cx, model::CallId call);

// Entries behind `after`, as CallQueue::read(), with their whole payloads.
async::Task<std::vector<model::LogEntry>> read_log(Context& cx, const queue::CallInfo& info,
                                                   std::uint64_t after, std::size_t most,
                                                   Instant until);
// All of the log up to an entry; `info` is as new as the log.
async::Task<std::shared_ptr<const Fold>> fold_of(Context& cx, FoundPrediction& found,
                                                 std::uint64_t up_to = UINT64_MAX);
// How the files of an output are told. Clients take an address for one of a file only where it is
// one of https:, and get the bytes else; in a list they need neither.
enum class FilesAs { clients_take_them, addresses };
// As clients get it; `base`: where they find this API.
async::Task<codec::Json> view_of(Context& cx, FoundPrediction& found, std::string base,
                                 FilesAs files = FilesAs::clients_take_them);
// The same, of what is known already.
async::Task<codec::Json> view_of(Context& cx, const FoundPrediction& found, const Fold& fold,
                                 std::string base, FilesAs files = FilesAs::clients_take_them);

// By which whoever holds it reads the stream of a prediction, and nothing else.
std::string stream_secret(const Context& cx, const std::string& call);

}  // namespace thaw::dialect::replicate
