// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/kept_for_later.h"

#include <doctest/doctest.h>

namespace thaw::dialect::modal {

TEST_CASE("what is kept for later is its workspace's, the latest of it, for a while") {
  const model::WorkspaceId a("ac-a");
  const model::WorkspaceId b("ac-b");
  const Instant now = monotonic_now();
  KeptForLater<int> kept({.bytes = 100, .things = 3, .age = 10s});
  kept.put(a, "x", 1, 10, now);
  CHECK(kept.find(a, "x") == 1);
  CHECK(kept.find(b, "x") == 0);
  kept.put(a, "x", 2, 10, now);
  CHECK(kept.find(a, "x") == 2);
  SUBCASE("too many: the oldest goes, of this workspace alone") {
    kept.put(b, "x", 9, 10, now);
    for (const char* id : {"y", "z", "w"}) {
      kept.put(a, id, 3, 10, now);
    }
    CHECK(kept.find(a, "x") == 0);
    CHECK(kept.find(a, "w") == 3);
    CHECK(kept.find(b, "x") == 9);
  }
  SUBCASE("too large: what is older goes, and what is larger than all may be is not kept") {
    kept.put(a, "large", 4, 95, now);
    CHECK(kept.find(a, "x") == 0);
    CHECK(kept.find(a, "large") == 4);
    kept.put(a, "huge", 5, 101, now);
    CHECK(kept.find(a, "huge") == 0);
  }
  SUBCASE("too old: it goes when anybody keeps something") {
    kept.put(b, "later", 6, 10, now + 11s);
    CHECK(kept.find(a, "x") == 0);
    CHECK(kept.find(b, "later") == 6);
  }
  SUBCASE("what is erased is gone and gives its room back") {
    kept.erase(a, "x");
    kept.erase(a, "never");
    CHECK(kept.find(a, "x") == 0);
    kept.put(a, "large", 7, 100, now);
    CHECK(kept.find(a, "large") == 7);
  }
}

}  // namespace thaw::dialect::modal
