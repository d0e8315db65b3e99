// SPDX-License-Identifier: Apache-2.0
//
// Any text is either a plan or an error that says why: never a crash, never unbounded work. A plan
// of the same text has the same key.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "thaw/image/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thaw;
  using namespace thaw::image;
  Recipe recipe;
  recipe.dockerfile = {std::string(reinterpret_cast<const char*>(data), size)};
  recipe.context = {{"/a/b.txt", {"00", 0644}}, {"/c", {"11", 0755}}};
  recipe.files = {{"/r.txt", "text"}};
  recipe.build_args = {{"V", "1"}};
  const BaseLookup lookup = [](const std::string& reference) -> Result<BaseFacts> {
    if (reference.size() > 8) {
      return Error::not_found("no such base");
    }
    BaseFacts facts;
    facts.key = reference;
    facts.config.env = {"PATH=/bin"};
    return facts;
  };
  const auto plan = make_plan(recipe, lookup);
  const auto again = make_plan(recipe, lookup);
  if (plan.has_value() != again.has_value() ||
      (plan && plan->result().key() != again->result().key())) {
    std::abort();
  }
  return 0;
}
