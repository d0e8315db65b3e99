// SPDX-License-Identifier: Apache-2.0
//
// What the RPCs of dicts and of queues share: how one is asked for, listed and told about, and the
// key of a request that its client may repeat. Loop thread only.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/gateway/named_states.h"
#include "thaw/state/object.h"

namespace thaw::dialect::modal {

// invalid_argument says what a name is. `what`: of a dict, …
Result<void> check_object_name(const std::string& name, const std::string& what);

// invalid_argument for ways that neither a dict nor a queue is made in.
Result<gateway::NamedStates::Making> making_of(::modal::client::ObjectCreationType type);

// The same for a request and its repetition; empty if its client does not repeat it.
state::RequestKey request_key(const net::GrpcCall& call, const gateway::Identity& who);

// Whose waits they are: a container's, or else its workspace's.
std::string asker_of(const gateway::Identity& who);

// What is too large is told in the words that the client looks for.
Error as_told(Error error);

// A page of those with a name, the newest first.
template <class Thing>
std::vector<std::shared_ptr<const Thing>> page_of(
    std::vector<std::shared_ptr<const Thing>> things,
    const ::modal::client::ListPagination& pagination) {
  const double before = pagination.created_before();
  std::erase_if(things, [before](const auto& thing) {
    return thing->name.empty() || (before > 0 && unix_seconds(thing->created_at) >= before);
  });
  std::sort(things.begin(), things.end(), [](const auto& a, const auto& b) {
    return a->created_at != b->created_at ? a->created_at > b->created_at : a->name < b->name;
  });
  const int limit = pagination.max_objects();
  if (limit > 0 && things.size() > static_cast<std::size_t>(limit)) {
    things.resize(static_cast<std::size_t>(limit));
  }
  return things;
}

// Of DictMetadata and QueueMetadata.
template <class Metadata, class Thing>
Metadata metadata_of(const Thing& thing) {
  Metadata out;
  out.set_name(thing.name);
  out.mutable_creation_info()->set_created_at(unix_seconds(thing.created_at));
  return out;
}

}  // namespace thaw::dialect::modal
