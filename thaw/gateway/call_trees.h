// SPDX-License-Identifier: Apache-2.0
//
// CallTrees: which calls were made for which inputs, from inside containers, so that one can look
// at all that a call has brought about. Who made a call is noted with it, and what has become of
// it the queue says; of a synchronous one, which the queue forgets soon after its result was read,
// this keeps how it ended. In memory, for a day at most, a share of it for each workspace: a tree
// may lack what is older, or from before the server's start. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

struct TreeInput {
  model::InputId id;
  queue::InputView::State state = queue::InputView::State::waiting;
  std::optional<model::OutcomeKind> outcome;  // of one that has ended
  model::ContainerId container;               // that has it, or had it last; may be empty
};

struct TreeCall {
  model::CallId id;
  model::InputId parent;  // that it was made for; of the root it is empty
  model::FunctionId function;
  std::string name;  // of the function
  std::vector<TreeInput> inputs;
};

struct CallTree {
  std::vector<TreeCall> calls;  // the root first
  enum class Part { all, some } part = Part::all;
};

struct CallTreeLimits {
  std::size_t calls_per_workspace = 20'000;  // the oldest go first
  std::size_t calls = 200'000;               // past it the largest share gives
  std::size_t kept_inputs = 20;              // of a call that the queue forgets
  // Past it the oldest calls of the workspace lose theirs.
  std::size_t kept_inputs_per_workspace = 50'000;
  Duration keep = std::chrono::hours(24);
};
// Of a server that may have so much memory: some percent of it at most.
CallTreeLimits within(CallTreeLimits limits, std::uint64_t memory_bytes);

class CallTrees {
 public:
  explicit CallTrees(queue::CallQueue& queue, CallTreeLimits limits = {})
      : queue_(queue), limits_(limits) {}

  // `call` was made for the input that it names as its parent; without one nothing is noted.
  void note(const model::NewCall& call, std::string function_name);
  // The queue is about to forget this one.
  async::Task<void> keep(model::CallId call);
  // `root` and all that was made for it, at most `most` inputs and `most` calls in all.
  async::Task<CallTree> tree_of(queue::CallInfo root, std::string name, std::size_t most);
  // What is too old by now; call it now and then.
  void forget_old();

  std::size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    TreeCall call;  // with inputs once the queue has forgotten it
    model::WorkspaceId workspace;
    std::uint64_t number = 0;
    Instant since{};
  };
  void drop_oldest_of(const model::WorkspaceId& workspace);
  async::Task<std::vector<TreeInput>> inputs_of(model::CallId call, std::size_t most);

  queue::CallQueue& queue_;
  CallTreeLimits limits_;
  std::unordered_map<model::CallId, Node> nodes_;
  // Those of one input in the order in which they were noted; very many may be of one.
  std::map<std::pair<model::InputId, std::uint64_t>, model::CallId> children_;
  std::uint64_t noted_ = 0;
  struct Share {
    std::deque<model::CallId> calls;        // the oldest first
    std::deque<model::CallId> with_inputs;  // that are kept here; some may have gone
    std::size_t inputs = 0;
  };
  void drop_inputs(Share& share, Node& node);

  std::map<model::WorkspaceId, Share> shares_;
};

}  // namespace thaw::gateway
