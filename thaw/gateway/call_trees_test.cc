// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/call_trees.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;
using State = queue::InputView::State;

namespace {

struct Trees : control::FleetHouse {
  CallTrees trees;

  explicit Trees(CallTreeLimits limits = {}) : trees(*queue, limits) {}

  // The inputs' ids.
  std::vector<model::InputId> makes(const std::string& id, const model::InputId& parent,
                                    int count = 1, const std::string& workspace = "ac-1") {
    std::vector<model::InputId> made;
    const auto body = [](Trees& f, model::NewCall call, int inputs,
                         std::vector<model::InputId>& out) -> async::Task<void> {
      std::vector<model::NewInput> given;
      for (int i = 0; i < inputs; ++i) {
        given.push_back({i, {"payload"}});
      }
      f.trees.note(call, "name of " + call.id.str());
      THAW_CO_TRY(out, co_await f.queue->create(std::move(call), std::move(given)));
      co_return ok();
    };
    model::NewCall call;
    call.id = model::CallId(id);
    call.workspace = model::WorkspaceId(workspace);
    call.app = spec.app;
    call.function = spec.id;
    call.parent_input = parent;
    await(body(*this, std::move(call), count, made));
    return made;
  }
  CallTree tree_of(const std::string& id, std::size_t most = 1'000) {
    CallTree tree;
    const auto body = [](Trees& f, model::CallId root, std::size_t limit,
                         CallTree& out) -> async::Task<void> {
      THAW_CO_TRY(queue::CallInfo info, co_await f.queue->info(std::move(root)));
      THAW_CO_TRY(out, co_await f.trees.tree_of(std::move(info), "root", limit));
      co_return ok();
    };
    await(body(*this, model::CallId(id), most, tree));
    return tree;
  }
  std::map<std::string, std::string> parents(const CallTree& tree) {
    std::map<std::string, std::string> out;
    for (const TreeCall& call : tree.calls) {
      out[call.id.str()] = call.parent.str();
    }
    return out;
  }
};

using Parents = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("the tree of a call has what was made for its inputs, and for theirs") {
  Trees f;
  const auto root = f.makes("fc-root", {}, 2);
  const auto child = f.makes("fc-child", root.at(0));
  f.makes("fc-other", root.at(1));
  f.makes("fc-grandchild", child.at(0), 3);
  f.makes("fc-stranger", model::InputId("in-of-nobody"));
  const CallTree tree = f.tree_of("fc-root");
  CHECK(tree.part == CallTree::Part::all);
  CHECK(f.parents(tree) == Parents{{"fc-root", ""},
                                   {"fc-child", root.at(0).str()},
                                   {"fc-other", root.at(1).str()},
                                   {"fc-grandchild", child.at(0).str()}});
  CHECK(tree.calls.front().name == "root");
  CHECK(tree.calls.back().inputs.size() == 3);
  CHECK(tree.calls.back().inputs.front().state == State::waiting);
  // Of a call in the middle it is what is below it.
  CHECK(f.parents(f.tree_of("fc-child")) ==
        Parents{{"fc-child", ""}, {"fc-grandchild", child.at(0).str()}});
}

TEST_CASE("a tree tells how inputs ended, also of calls that the queue has forgotten") {
  Trees f;
  const auto root = f.makes("fc-root", {});
  f.makes("fc-child", root.at(0));
  f.fleet->refresh(f.spec.id);
  const model::ContainerId container("ta-1");
  const auto leased = f.queue->lease(f.spec.id, container, 10);
  REQUIRE(leased.size() == 2);
  CHECK(f.tree_of("fc-root").calls.at(0).inputs.at(0).state == State::running);
  CHECK(f.tree_of("fc-root").calls.at(0).inputs.at(0).container == container);
  f.await(f.queue->complete(leased[0].input, container, {model::OutcomeKind::success, {"done"}}));
  f.await(f.queue->complete(leased[1].input, container, {model::OutcomeKind::failure, {"oh"}}));
  f.await(f.trees.keep(model::CallId("fc-child")));
  f.queue->forget(model::CallId("fc-child"));
  const CallTree tree = f.tree_of("fc-root");
  REQUIRE(tree.calls.size() == 2);
  CHECK(tree.calls[0].inputs.at(0).outcome == model::OutcomeKind::success);
  REQUIRE(tree.calls[1].inputs.size() == 1);
  CHECK(tree.calls[1].inputs[0].outcome == model::OutcomeKind::failure);
  CHECK(tree.calls[1].inputs[0].container == container);
  CHECK(tree.calls[1].name == "name of fc-child");
}

TEST_CASE("a tree that is too large is told in part, and one that turns upon itself ends") {
  Trees f;
  const auto root = f.makes("fc-root", {}, 5);
  for (int i = 0; i < 50; ++i) {
    f.makes("fc-" + std::to_string(i), root.at(0));
  }
  CHECK(f.tree_of("fc-root", 20).part == CallTree::Part::some);
  CHECK(f.tree_of("fc-root", 20).calls.size() == 16);
  CHECK(f.tree_of("fc-root").calls.size() == 51);
  const auto one = f.makes("fc-a", {});
  const auto two = f.makes("fc-b", one.at(0));
  model::NewCall turned;
  turned.id = model::CallId("fc-a");
  turned.workspace = f.spec.workspace;
  turned.parent_input = two.at(0);
  f.trees.note(turned, "f");
  CHECK(f.tree_of("fc-a").calls.size() == 2);
}

TEST_CASE("another workspace has no part in a tree") {
  Trees f;
  const auto root = f.makes("fc-root", {});
  f.makes("fc-guess", root.at(0), 1, "ac-2");
  CHECK(f.tree_of("fc-root").calls.size() == 1);
}

TEST_CASE("the oldest calls of a workspace make room, and those of others stay") {
  CallTreeLimits limits;
  limits.calls_per_workspace = 10;
  limits.calls = 15;
  limits.keep = 1h;
  Trees f(limits);
  const auto noted = [&f](const std::string& id, const std::string& workspace) {
    model::NewCall call;
    call.id = model::CallId(id);
    call.workspace = model::WorkspaceId(workspace);
    call.parent_input = model::InputId("in-1");
    f.trees.note(call, "f");
  };
  for (int i = 0; i < 1'000; ++i) {
    noted("fc-a" + std::to_string(i), "ac-1");
  }
  CHECK(f.trees.size() == 10);
  for (int i = 0; i < 7; ++i) {
    noted("fc-b" + std::to_string(i), "ac-2");
  }
  CHECK(f.trees.size() == 15);
  f.passes(30min);
  f.trees.forget_old();
  CHECK(f.trees.size() == 15);
  f.passes(31min);
  f.trees.forget_old();
  CHECK(f.trees.size() == 0);
}

TEST_CASE("inputs that are kept count for their workspace, and the oldest go first") {
  CallTreeLimits limits;
  limits.kept_inputs = 3;
  limits.kept_inputs_per_workspace = 7;
  Trees f(limits);
  const auto root = f.makes("fc-root", {});
  for (int i = 0; i < 4; ++i) {
    f.makes("fc-" + std::to_string(i), root.at(0), 5);
  }
  const model::ContainerId container("ta-1");
  const auto leased = f.queue->lease(f.spec.id, container, 100);
  REQUIRE(leased.size() == 21);
  for (const queue::LeasedInput& input : leased) {
    f.await(f.queue->complete(input.input, container, {model::OutcomeKind::success, {"done"}}));
  }
  for (int i = 0; i < 4; ++i) {
    f.await(f.trees.keep(model::CallId("fc-" + std::to_string(i))));
    f.await(f.trees.keep(model::CallId("fc-" + std::to_string(i))));  // once more is no more
  }
  // What is there no more is a call without inputs.
  for (int i = 0; i < 4; ++i) {
    f.queue->forget(model::CallId("fc-" + std::to_string(i)));
  }
  f.passes(1s);
  std::map<std::string, std::size_t> inputs;
  for (const TreeCall& call : f.tree_of("fc-root").calls) {
    inputs[call.id.str()] = call.inputs.size();
  }
  CHECK(inputs["fc-0"] == 0);
  CHECK(inputs["fc-1"] == 0);
  CHECK(inputs["fc-2"] == 3);
  CHECK(inputs["fc-3"] == 3);
}

TEST_CASE("a tree has so many calls at most, whether they have inputs or not") {
  Trees f;
  const auto root = f.makes("fc-root", {});
  for (int i = 0; i < 500; ++i) {
    model::NewCall call;
    call.id = model::CallId("fc-" + std::to_string(i));
    call.workspace = f.spec.workspace;
    call.parent_input = root.at(0);
    f.trees.note(call, "f");
  }
  const CallTree tree = f.tree_of("fc-root", 100);
  CHECK(tree.part == CallTree::Part::some);
  CHECK(tree.calls.size() <= 101);
  CHECK(tree.calls.at(1).id.str() == "fc-0");  // the first that was made
  CHECK(f.tree_of("fc-root").part == CallTree::Part::all);
}

TEST_CASE("a small server keeps fewer calls") {
  const CallTreeLimits usual;
  CHECK(within(usual, std::uint64_t{64} << 30).calls == usual.calls);
  const CallTreeLimits small = within(usual, 300u << 20);
  CHECK(small.calls < 20'000);
  CHECK(small.calls_per_workspace <= small.calls / 2);
  CHECK(small.kept_inputs_per_workspace <= 2 * small.calls_per_workspace);
  CHECK(within(usual, 1).calls == 1'000);
}

TEST_CASE("of a call with very many inputs the first are told, in order") {
  Trees f;
  const auto many = f.makes("fc-many", {}, 2'000);
  REQUIRE(many.size() == 2'000);
  const CallTree tree = f.tree_of("fc-many", 100);
  REQUIRE(tree.calls.size() == 1);
  REQUIRE(tree.calls[0].inputs.size() == 100);
  for (std::size_t i = 0; i < 100; ++i) {
    CHECK(tree.calls[0].inputs[i].id == many[i]);
  }
}
