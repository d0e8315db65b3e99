// SPDX-License-Identifier: Apache-2.0
//
// A cog.yaml: what is taken of it becomes the Dockerfile that was meant, whatever its texts hold:
// no text of it is ever an instruction of its own.
#include "thaw/cli/cog_file.h"

#include <algorithm>

#include "tests/fuzz/target.h"
#include "thaw/cli/cog_plan.h"
#include "thaw/image/dockerfile.h"

namespace thaw::fuzz {

void run(std::string_view input) {
  const auto file = cli::read_cog_file(input);
  if (!file) {
    expect_sentence(file.error());
    return;
  }
  const std::string predictor = file->predictor.substr(0, file->predictor.find(':'));
  const auto text =
      cli::cog_dockerfile(*file, {"/" + predictor, "/" + file->python_requirements}, "");
  if (!text) {
    expect_sentence(text.error());
    return;
  }
  const auto dockerfile = image::parse_dockerfile(*text);
  expect(dockerfile.has_value(), "what is made of a cog.yaml is a Dockerfile");
  const auto count = [&](std::string_view verb) {
    return static_cast<std::size_t>(
        std::count_if(dockerfile->instructions.begin(), dockerfile->instructions.end(),
                      [verb](const image::Instruction& one) { return one.verb == verb; }));
  };
  expect(count("RUN") == 2 + file->run.size() + (file->system_packages.empty() ? 0 : 1),
         "each command is one step");
  expect(count("ENV") == 2 + file->environment.size() + (file->trainer.empty() ? 0 : 1) +
                             (file->concurrency ? 1 : 0),
         "each variable is one");
  expect(count("FROM") == 1 && count("CMD") == 1 && count("WORKDIR") == 1, "and nothing is added");
}

}  // namespace thaw::fuzz
