// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/call_trees.h"

#include <algorithm>
#include <set>
#include <utility>

namespace thaw::gateway {

using async::Task;
using model::LogEntry;

namespace {

constexpr std::size_t entries_at_once = 100;

}  // namespace

CallTreeLimits within(CallTreeLimits limits, std::uint64_t memory_bytes) {
  constexpr std::uint64_t call_bytes = 1'000;  // with the inputs that are kept
  const auto calls = static_cast<std::size_t>(memory_bytes / 32 / call_bytes);
  limits.calls = std::min(limits.calls, std::max<std::size_t>(calls, 1'000));
  limits.calls_per_workspace = std::min(limits.calls_per_workspace, limits.calls / 2);
  limits.kept_inputs_per_workspace =
      std::min(limits.kept_inputs_per_workspace, limits.calls_per_workspace * 2);
  return limits;
}

void CallTrees::drop_inputs(Share& share, Node& node) {
  share.inputs -= node.call.inputs.size();
  node.call.inputs = {};
}

void CallTrees::drop_oldest_of(const model::WorkspaceId& workspace) {
  const auto share = shares_.find(workspace);
  const auto node = nodes_.find(share->second.calls.front());
  drop_inputs(share->second, node->second);
  children_.erase({node->second.call.parent, node->second.number});
  nodes_.erase(node);
  share->second.calls.pop_front();
  if (share->second.calls.empty()) {
    shares_.erase(share);
  }
}

void CallTrees::note(const model::NewCall& call, std::string function_name) {
  if (call.parent_input.empty() || nodes_.contains(call.id)) {
    return;
  }
  Node& node = nodes_[call.id];
  node.call = {call.id, call.parent_input, call.function, std::move(function_name), {}};
  node.workspace = call.workspace;
  node.number = ++noted_;
  node.since = monotonic_now();
  children_.emplace(std::pair(call.parent_input, node.number), call.id);
  Share& share = shares_[call.workspace];
  share.calls.push_back(call.id);
  if (share.calls.size() > limits_.calls_per_workspace) {
    drop_oldest_of(call.workspace);
  }
  if (nodes_.size() > limits_.calls) {
    const auto largest = std::max_element(
        shares_.begin(), shares_.end(),
        [](const auto& a, const auto& b) { return a.second.calls.size() < b.second.calls.size(); });
    drop_oldest_of(model::WorkspaceId(largest->first));
  }
}

void CallTrees::forget_old() {
  const Instant old = monotonic_now() - limits_.keep;
  std::vector<model::WorkspaceId> workspaces;
  for (const auto& [workspace, share] : shares_) {
    workspaces.push_back(workspace);
  }
  for (const model::WorkspaceId& workspace : workspaces) {
    for (auto share = shares_.find(workspace);
         share != shares_.end() && nodes_.at(share->second.calls.front()).since <= old;
         share = shares_.find(workspace)) {
      drop_oldest_of(workspace);
    }
  }
}

// The inputs of a call that the queue knows, with how they have ended.
Task<std::vector<TreeInput>> CallTrees::inputs_of(model::CallId id, std::size_t most) {
  THAW_CO_TRY(const std::vector<queue::InputView> views, co_await queue_.inputs(id, 0, most));
  std::vector<TreeInput> inputs;
  std::unordered_map<model::InputId, std::size_t> places;
  for (const queue::InputView& view : views) {
    places[view.id] = inputs.size();
    inputs.push_back({view.id, view.state, std::nullopt, view.container});
  }
  const std::function<bool(const LogEntry&)> is_final = [](const LogEntry& entry) {
    return entry.kind == LogEntry::Kind::final_;
  };
  auto open = static_cast<std::size_t>(std::count_if(
      views.begin(), views.end(),
      [](const queue::InputView& view) { return view.state == queue::InputView::State::ended; }));
  for (std::uint64_t after = 0; open > 0;) {
    THAW_CO_TRY(const std::vector<LogEntry> entries,
                co_await queue_.read(id, after, entries_at_once, monotonic_now(), is_final));
    if (entries.empty()) {
      break;
    }
    // What is in memory is read without a wait: others have their turn between two pages.
    THAW_CO_TRY_VOID(co_await async::yield());
    for (const LogEntry& entry : entries) {
      after = entry.number;
      if (const auto place = places.find(entry.input); place != places.end()) {
        TreeInput& input = inputs[place->second];
        input.state = queue::InputView::State::ended;
        input.outcome = entry.outcome;
        input.container = entry.container;
        open -= std::min<std::size_t>(open, 1);
      }
    }
  }
  co_return inputs;
}

Task<void> CallTrees::keep(model::CallId id) {
  if (!nodes_.contains(id)) {
    co_return ok();
  }
  auto inputs = co_await inputs_of(id, limits_.kept_inputs);
  const auto node = nodes_.find(id);
  if (inputs && node != nodes_.end()) {
    Share& share = shares_.at(node->second.workspace);
    drop_inputs(share, node->second);
    share.inputs += inputs->size();
    share.with_inputs.push_back(id);
    node->second.call.inputs = std::move(*inputs);
    while (share.inputs > limits_.kept_inputs_per_workspace ||
           share.with_inputs.size() > limits_.calls_per_workspace) {
      if (const auto oldest = nodes_.find(share.with_inputs.front()); oldest != nodes_.end()) {
        drop_inputs(share, oldest->second);
      }
      share.with_inputs.pop_front();
    }
  } else if (!inputs && inputs.error().code() == Code::cancelled) {
    co_return inputs.error();
  }
  co_return ok();
}

Task<CallTree> CallTrees::tree_of(queue::CallInfo root, std::string name, std::size_t most) {
  CallTree tree;
  const std::size_t most_calls = most;
  std::deque<TreeCall> waiting;
  waiting.push_back({root.call.id, {}, root.call.function, std::move(name), {}});
  std::set<model::CallId> seen{root.call.id};
  while (!waiting.empty()) {
    if (most == 0) {
      tree.part = CallTree::Part::some;
      break;
    }
    TreeCall call = std::move(waiting.front());
    waiting.pop_front();
    THAW_CO_TRY_VOID(co_await async::yield());
    auto inputs = co_await inputs_of(call.id, most);
    if (inputs) {
      call.inputs = std::move(*inputs);
    } else if (inputs.error().code() != Code::not_found) {
      co_return inputs.error();
    }
    most -= std::min(most, call.inputs.size());
    for (const TreeInput& input : call.inputs) {
      for (auto child = children_.lower_bound({input.id, 0});
           child != children_.end() && child->first.first == input.id; ++child) {
        if (seen.size() > most_calls) {
          tree.part = CallTree::Part::some;
          break;
        }
        const Node& node = nodes_.at(child->second);
        // Whose input it was, its calls are; another workspace could only have guessed its name.
        if (node.workspace == root.call.workspace && seen.insert(node.call.id).second) {
          waiting.push_back(node.call);
        }
      }
    }
    tree.calls.push_back(std::move(call));
  }
  co_return tree;
}

}  // namespace thaw::gateway
