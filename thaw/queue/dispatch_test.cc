// SPDX-License-Identifier: Apache-2.0
// One function's inputs never stand in the way of another's.
#include <set>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using queue::Fixture;

TEST_CASE("an input is leased at once, however much waits for other functions") {
  struct Row {
    const char* name;
    std::size_t before, leased;  // of the other function
  };
  for (const Row& row : {Row{"nothing else", 0, 0}, Row{"a long queue", 5'000, 0},
                         Row{"a long queue that is worked on", 5'000, 200}}) {
    CAPTURE(row.name);
    Fixture f;
    std::set<std::string> heard;
    f.queue->on_demand([&](const model::Target& target) { heard.insert(target.str()); });
    if (row.before > 0) {
      f.create(f.call("fc-many"), std::vector<std::string>(row.before, "a"));
      CHECK(f.queue->lease(f.function, f.container("ta-a"), row.leased).size() == row.leased);
    }
    model::NewCall single = f.call("fc-one");
    single.function = model::FunctionId("fu-other");
    f.create(single, {"b"});
    f.turn();
    CHECK(heard.contains("fu-other"));
    CHECK(f.queue->demand(single.function).ready == 1);
    CHECK(payloads(f.queue->lease(single.function, f.container("ta-b"), 10)) == "b");
    CHECK(f.queue->demand(f.function).ready == row.before - row.leased);
  }
}
