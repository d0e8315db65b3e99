// SPDX-License-Identifier: Apache-2.0
//
// Launch plans as bytes. What is read is written as what is read as the same again; what cannot be
// read is refused with a sentence.
#include "tests/fuzz/target.h"
#include "thaw/worker/launch_plan_codec.h"

namespace thaw::fuzz {

void run(std::string_view input) {
  // The library reads nested values by recursion.
  constexpr std::size_t most_bytes = 4096;
  const auto plan = worker::read_plan(std::string(input.substr(0, most_bytes)));
  if (!plan) {
    expect_sentence(plan.error());
    expect(plan.error().code() == Code::invalid_argument, "what is refused is the sender's");
    return;
  }
  const std::string written = worker::write_plan(*plan);
  const auto again = worker::read_plan(written);
  expect(again.has_value(), "a plan that was written can be read");
  expect(worker::write_plan(*again) == written, "and is the same");
}

}  // namespace thaw::fuzz
