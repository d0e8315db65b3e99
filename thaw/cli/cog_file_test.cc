// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/cog_file.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::cli;

namespace {

CogFile read(std::string_view text) {
  const auto file = read_cog_file(text);
  REQUIRE_MESSAGE(file, (file ? std::string() : file.error().to_string()));
  return *file;
}

std::string refusal(const std::string& text) {
  const auto file = read_cog_file(text);
  return file ? "taken" : file.error().message();
}

const std::string predict = "predict: predict.py:Predictor\n";

}  // namespace

TEST_CASE("a cog.yaml with everything that is understood") {
  const CogFile file = read(
      "build:\n"
      "  gpu: true\n"
      "  python_version: 3.10\n"
      "  python_requirements: requirements.txt\n"
      "  system_packages: [ffmpeg, libgl1=1.6.0-1]\n"
      "  sdk_version: 0.23.1\n"
      "  run:\n"
      "    - echo one > /one\n"
      "    - command: |\n"
      "        echo two\n"
      "concurrency:\n"
      "  max: 4\n"
      "environment:\n"
      "  - GREETING=hello, \"you\" = $HOME\n"
      "image: r8.im/ada/hello\n"
      "predict: predict.py:Predictor\n"
      "train: train.py:train\n");
  CHECK(file.gpu);
  CHECK(file.python_version == "3.10");
  CHECK(file.python_requirements == "requirements.txt");
  CHECK(file.system_packages == std::vector<std::string>{"ffmpeg", "libgl1=1.6.0-1"});
  CHECK(file.cog_version == "0.23.1");
  CHECK(file.run == std::vector<std::string>{"echo one > /one", "echo two"});
  CHECK(file.concurrency == 4);
  REQUIRE(file.environment.size() == 1);
  CHECK(file.environment[0].first == "GREETING");
  CHECK(file.environment[0].second == "hello, \"you\" = $HOME");
  CHECK(file.image == "r8.im/ada/hello");
  CHECK(file.predictor == "predict.py:Predictor");
  CHECK(file.trainer == "train.py:train");
  CHECK(file.warnings.empty());
}

TEST_CASE("the predictor may be named with run, and nothing else has to be there") {
  CHECK(read("run: a/run.py:Runner\n").predictor == "a/run.py:Runner");
  CHECK(read(predict + "build:\n").python_version.empty());
  CHECK(refusal("build:\n  gpu: false\n").find("names no predictor") != std::string::npos);
  CHECK(refusal(predict + "run: run.py:Runner\n").find("line 1: predict is there beside run") !=
        std::string::npos);
}

TEST_CASE("keys that mean nothing are named, and no more than twenty of them") {
  const CogFile file = read(predict + "build:\n  cuda: \"12\"\nweights:\n  - source: x\n");
  REQUIRE(file.warnings.size() == 2);
  CHECK(file.warnings[0] == "cog.yaml, line 3: build.cuda has no effect here");
  CHECK(file.warnings[1] == "cog.yaml, line 5: weights has no effect here");
  std::string many = predict;
  for (int i = 0; i < 100; ++i) {
    many += "key" + std::to_string(i) + ": 1\n";
  }
  CHECK(read(many).warnings.size() == 20);
}

TEST_CASE("a wrong value is refused by its key and its line") {
  const auto refused = [](const std::string& more, const std::string& where) {
    CAPTURE(more);
    CHECK(refusal(predict + more).find(where) == 0);
  };
  refused("build: 3\n", "cog.yaml, line 2: build ");
  refused("build:\n  python_version: latest\n", "cog.yaml, line 3: build.python_version ");
  refused("build:\n  python_version: [3]\n", "cog.yaml, line 3: build.python_version ");
  refused("build:\n  python_version: \"3.12; rm\"\n", "cog.yaml, line 3: build.python_version ");
  refused("build:\n  gpu: \"true\"\n", "cog.yaml, line 3: build.gpu ");
  refused("build:\n  gpu: 1\n", "cog.yaml, line 3: build.gpu ");
  refused("build:\n  python_packages: torch\n", "cog.yaml, line 3: build.python_packages ");
  refused("build:\n  python_packages: [{a: b}]\n", "cog.yaml, line 3: build.python_packages ");
  refused("build:\n  python_packages: [\"a\\nb\"]\n", "cog.yaml, line 3: build.python_packages ");
  refused("build:\n  system_packages: [\"a; rm -rf /\"]\n",
          "cog.yaml, line 3: build.system_packages ");
  refused("build:\n  system_packages: [\"-o\"]\n", "cog.yaml, line 3: build.system_packages ");
  refused("build:\n  run: [\"a\\nb\"]\n", "cog.yaml, line 3: build.run ");
  refused("build:\n  run: [{mounts: [], command: a}]\n", "cog.yaml, line 3: build.run.mounts ");
  refused("build:\n  python_packages: [a]\n  python_requirements: b\n",
          "cog.yaml, line 4: build.python_requirements ");
  refused("concurrency:\n  max: many\n", "cog.yaml, line 3: concurrency.max ");
  refused("concurrency:\n  max: 0\n", "cog.yaml, line 3: concurrency.max ");
  refused("concurrency: 3\n", "cog.yaml, line 2: concurrency ");
  refused("environment: [NAME]\n", "cog.yaml, line 2: environment ");
  refused("environment: [\"A B=c\"]\n", "cog.yaml, line 2: environment ");
  refused("train: train\n", "cog.yaml, line 2: train ");
  CHECK(refusal("predict: [a]\n").starts_with("cog.yaml, line 1: predict "));
  CHECK(refusal("predict: \"predict.py:\"\n").starts_with("cog.yaml, line 1: predict "));
  CHECK(refusal("just a text").starts_with("cog.yaml, line 1: the file "));
  CHECK(refusal("a: [1").starts_with("cog.yaml, line "));
}

TEST_CASE("what is too large, or would become so, is refused before it is read") {
  CHECK(refusal(std::string(10u << 20, 'a')).find("256 KiB") != std::string::npos);
  CHECK(refusal("a: &a [1]\nb: *a\n").find("line 2: aliases") != std::string::npos);
}
