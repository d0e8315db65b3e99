// SPDX-License-Identifier: Apache-2.0
//
// The whole of `thaw`, with two dialects more.
#include <memory>

#include "tests/dialects/poll_dialect.h"
#include "tests/dialects/push_dialect.h"
#include "thaw/main/run.h"

int main(int argc, char** argv) {
  using namespace thaw;
  return main_program::run(
      argc, argv,
      [](const gateway::Owners& owners, const main_program::Configuration& configuration) {
        auto dialects = main_program::make_dialects(owners, configuration);
        dialects.push_back(std::make_unique<dialects_test::PollDialect>(owners));
        dialects.push_back(std::make_unique<dialects_test::PushDialect>(owners));
        return dialects;
      });
}
