// SPDX-License-Identifier: Apache-2.0
// What calls refer to is found as long as they are there, in memory and on disk.
#include <doctest/doctest.h>

#include <set>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::OutcomeKind;

namespace {

using Seen = std::set<std::pair<std::string, std::string>>;

// "ref:NAME" refers to NAME.
void find_names(std::string_view payload, std::vector<std::string>& names) {
  if (payload.starts_with("ref:")) {
    names.emplace_back(payload.substr(4));
  }
}

Seen references(Fixture& f) {
  Seen seen;
  REQUIRE(f.loop.run_task(f.queue->visit_references(
      find_names, [&](const model::WorkspaceId& workspace, const std::string& name) {
        seen.emplace(workspace.str(), name);
      })));
  return seen;
}

model::NewCall call_of(Fixture& f, const std::string& workspace, const std::string& id,
                       Durability durability) {
  model::NewCall call = f.call(id, durability);
  call.workspace = model::WorkspaceId(workspace);
  return call;
}

}  // namespace

TEST_CASE("a call refers to what its inputs and outputs name, until it is forgotten") {
  Fixture f;
  CHECK(references(f).empty());
  const auto one = f.create(call_of(f, "ac-ann", "fc-1", Durability::memory), {"ref:a", "plain"});
  const auto two = f.create(call_of(f, "ac-bob", "fc-2", Durability::durable), {"ref:b", "ref:c"});
  CHECK(references(f) == Seen{{"ac-ann", "a"}, {"ac-bob", "b"}, {"ac-bob", "c"}});
  CHECK(f.queue->lease(f.function, f.container("ta-1"), 10).size() == 4);
  f.complete(one[0], "ta-1", OutcomeKind::success, "ref:result");
  f.complete(one[1], "ta-1", OutcomeKind::success, "plain");
  f.complete(two[0], "ta-1", OutcomeKind::success, "ref:kept");
  const Seen later = references(f);
  CHECK(later.contains({"ac-ann", "result"}));
  CHECK(later.contains({"ac-bob", "kept"}));
  CHECK(later.contains({"ac-bob", "c"}));
  CHECK_FALSE(later.contains({"ac-bob", "b"}));
  f.queue->forget(f.id("fc-1"));
  f.reopen();
  CHECK(references(f) == Seen{{"ac-bob", "c"}, {"ac-bob", "kept"}});
}

TEST_CASE("the references of very many calls are found, in pieces") {
  Fixture f;
  std::vector<std::string> payloads;
  Seen expected;
  for (int i = 0; i < 1'000; ++i) {
    payloads.push_back("ref:" + std::to_string(i) + std::string(3'000, '.'));
    expected.emplace("ac-ann", payloads.back().substr(4));
  }
  f.create(call_of(f, "ac-ann", "fc-1", Durability::memory), payloads);
  f.create(call_of(f, "ac-bob", "fc-2", Durability::durable), payloads);
  for (const std::string& payload : payloads) {
    expected.emplace("ac-bob", payload.substr(4));
  }
  CHECK(references(f) == expected);
}
