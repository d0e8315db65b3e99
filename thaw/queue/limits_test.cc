// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/limits.h"

#include <doctest/doctest.h>

#include "thaw/queue/detail/shares.h"

using namespace thaw;
using namespace thaw::queue;

namespace {

constexpr std::size_t mib = 1u << 20;

}  // namespace

TEST_CASE("a process with little memory keeps little, one with much as much as ever") {
  const QueueLimits usual;
  const QueueLimits large = within(usual, std::uint64_t{64} << 30);
  CHECK(large.payload_bytes_in_memory == usual.payload_bytes_in_memory);
  CHECK(large.bytes_per_workspace == usual.bytes_per_workspace);
  CHECK(large.bytes_per_function == usual.bytes_per_function);
  const QueueLimits small = within(usual, 300 * mib);
  CHECK(small.payload_bytes_in_memory == 75 * mib);
  CHECK(small.bytes_per_function < small.bytes_per_workspace);
  CHECK(small.bytes_per_workspace < small.payload_bytes_in_memory);
  CHECK(within(usual, 1).bytes_per_function >= 4 * mib);
  // A call of the usual size fits, also where others are at their limits.
  CHECK(queue::detail::admit(small, {70 * mib}, {100'000}, {}, {100'000, 1, 1}, "fu-1"));
}
