// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/readers.h"

#include <doctest/doctest.h>

#include <optional>

using namespace thaw;
using namespace thaw::dialect::modal;

TEST_CASE("nobody is taken for gone who is there, was just there, or is not expected") {
  Readers readers;
  const model::CallId call("fc-1");
  { Readers::Visit stranger(readers, call); }
  CHECK(readers.take_left().empty());
  readers.expect(call);
  CHECK(readers.take_left().empty());
  {
    std::optional<Readers::Visit> items(std::in_place, readers, call);
    std::optional<Readers::Visit> result(std::in_place, readers, call);
    items.reset();  // broken off
    CHECK(readers.take_left().empty());
    result->will_come_again();
  }
  CHECK(readers.take_left().empty());
  readers.forget(call);
  { Readers::Visit late(readers, call); }
  CHECK(readers.take_left().empty());
}
