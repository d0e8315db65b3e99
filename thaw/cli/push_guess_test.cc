// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_guess.h"

#include <doctest/doctest.h>

#include "thaw/model/push_presets.h"

using namespace thaw::cli;

namespace {

struct Case {
  const char* preset;
  const char* dockerfile;
};

}  // namespace

TEST_CASE("a preset is guessed from what only its servers have") {
  const Case cases[] = {
      {"plain", ""},
      {"plain", "FROM python:3.11-slim\nCOPY . /\nCMD [\"python3\", \"/app.py\"]\n"},
      {"cog", "FROM x\nCMD [\"python\", \"-m\", \"cog.server.http\"]"},
      {"vllm", "FROM vllm/vllm-openai:v0.6.0\nCMD [\"--model\", \"x\"]"},
      {"vllm", "FROM x\nENTRYPOINT [\"vllm\", \"serve\"]\nCMD [\"x\"]"},
      {"vllm", "FROM x\nCMD python3 -m vllm.entrypoints.openai.api_server --port 8000"},
      {"tgi", "FROM ghcr.io/huggingface/text-generation-inference:2.0"},
      {"tei", "FROM ghcr.io/huggingface/text-embeddings-inference:cpu-1.5"},
      {"llama_server", "FROM x\ncmd [\"/usr/bin/llama-server\", \\\n  \"-m\", \"x.gguf\"]"},
      {"openfaas", "FROM x\nENV fprocess=cat\nCMD [\"fwatchdog\"]"},
      {"workerd", "FROM x\nCMD workerd serve config.capnp"},
      {"sagemaker", "FROM x\nCOPY serve /opt/ml/code/\nEXPOSE 8080"},
      {"plain", "FROM x\nCOPY serve /opt/ml/code/\nEXPOSE 9090"},
      {"grpc", "FROM x\nEXPOSE 50051\nCMD [\"/greeter\"]"},
      // Only what is run in the end counts.
      {"plain", "FROM x\nCMD [\"llama-server\"]\nCMD [\"python3\"]"},
      {"plain", "FROM vllm/vllm-openai AS a\nFROM scratch\nCOPY --from=a /x /x"},
      {"plain", "FROM x\n# CMD llama-server\nRUN echo llama-server\nCMD [\"sleep\"]"},
  };
  for (const Case& one : cases) {
    CAPTURE(std::string(one.dockerfile));
    const PresetGuess guess = guess_preset({"/app.py"}, one.dockerfile);
    CHECK(guess.preset == one.preset);
    CHECK_FALSE(guess.because.empty());
    CHECK(thaw::model::find_push_preset(guess.preset) != nullptr);
  }
  CHECK(guess_preset({"/cog.yaml"}, "FROM x").preset == "cog");
  CHECK(guess_preset({"/sub/cog.yaml"}, "FROM x").preset == "plain");
}

TEST_CASE("the first port of the last stage is where a server listens") {
  CHECK(exposed_port("FROM x\nEXPOSE 8000 9000\nEXPOSE 7000") == 8000);
  CHECK(exposed_port("FROM x\nexpose 5000/tcp\r\n") == 5000);
  CHECK(exposed_port("FROM x\nEXPOSE $PORT\nEXPOSE 81") == 81);
  CHECK(exposed_port("FROM x\nEXPOSE 53/udp") == 0);
  CHECK(exposed_port("FROM x\nEXPOSE 70000") == 0);
  CHECK(exposed_port("FROM x\nEXPOSE 80 AS y\nFROM z") == 0);
  CHECK(exposed_port("FROM x\nEXPOSE") == 0);
}

TEST_CASE("a folder's name is made one that a function may have") {
  CHECK(function_name_of("hello") == "hello");
  CHECK(function_name_of("My Project_2.0") == "my-project-2-0");
  CHECK(function_name_of("--a--") == "a");
  CHECK(function_name_of("\xc3\xa4\xc3\xb6") == "app");
  CHECK(function_name_of("") == "app");
  CHECK(function_name_of(std::string(100, 'a')).size() == 40);
}

TEST_CASE("a folder without a Dockerfile is told what it lacks") {
  CHECK(why_no_dockerfile({"app.py"}).find("has no Dockerfile") != std::string::npos);
  CHECK(why_no_dockerfile({"cog.yaml"}).find("preset cog") != std::string::npos);
}
