// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/push_presets.h"

#include <algorithm>
#include <vector>

namespace thaw::model {

namespace {

using By = PushContract::Ready::By;

PushContract at(std::uint16_t port) {
  PushContract contract;
  contract.port = port;
  return contract;
}

// Ready, and well, while GET `path` is answered with success.
PushContract by_status(std::uint16_t port, const char* path) {
  PushContract contract = at(port);
  contract.ready.by = By::status;
  contract.ready.path = path;
  contract.health_path = path;
  return contract;
}

// Its health check answers 200 whatever its state is.
PushContract cog() {
  PushContract contract = at(5000);
  contract.ready = {
      By::field, "/health-check", "/status", {"READY", "BUSY"}, {"SETUP_FAILED", "DEFUNCT"}};
  contract.health_path = "/health-check";
  contract.target = "/predictions";
  contract.drain_path = "/shutdown";
  return contract;
}

PushContract sagemaker() {
  PushContract contract = by_status(8080, "/ping");
  contract.ready.good = {"200"};
  contract.target = "/invocations";
  contract.arguments = {"serve"};
  return contract;
}

// 204: it is still on its way.
PushContract runpod_lb() {
  PushContract contract = by_status(80, "/ping");
  contract.ready.good = {"200"};
  return contract;
}

// Ready and alive are asked at two places.
PushContract kserve() {
  PushContract contract = by_status(8080, "/v2/health/ready");
  contract.health_path = "/v2/health/live";
  return contract;
}

// Its requests need no path that is known here, and few of them are readiness.
PushContract grpc() {
  PushContract contract = at(50051);
  contract.wire = PushContract::Wire::h2c;
  return contract;
}

std::vector<PushPreset> make() {
  return {
      {"plain", "any server that listens on $PORT", at(8080)},
      {"cog", "images of cog (replicate)", cog()},
      {"sagemaker", "inference containers of SageMaker", sagemaker()},
      {"cloud_run", "services of Cloud Run", at(8080)},
      {"knative", "services of Knative", at(8080)},
      {"openfaas", "functions of OpenFaaS with a watchdog", by_status(8080, "/_/health")},
      {"potassium", "apps of Banana's potassium", by_status(8000, "/_k/status")},
      {"tgi", "text-generation-inference", by_status(80, "/health")},
      {"tei", "text-embeddings-inference", by_status(80, "/health")},
      {"vllm", "vLLM's OpenAI server", by_status(8000, "/health")},
      {"llama_server", "llama.cpp's llama-server", by_status(8080, "/health")},
      {"kserve", "servers of the Open Inference Protocol", kserve()},
      {"runpod_lb", "load-balancing workers of RunPod", runpod_lb()},
      {"workerd", "workerd", at(8080)},
      {"grpc", "servers of gRPC without TLS", grpc()},
  };
}

const std::vector<PushPreset>& all() {
  static const std::vector<PushPreset> presets = make();
  return presets;
}

}  // namespace

std::span<const PushPreset> push_presets() { return all(); }

const PushPreset* find_push_preset(std::string_view name) {
  const auto found = std::find_if(all().begin(), all().end(),
                                  [&](const PushPreset& preset) { return preset.name == name; });
  return found == all().end() ? nullptr : &*found;
}

}  // namespace thaw::model
