// SPDX-License-Identifier: Apache-2.0
//
// Descriptions of functions that are to be published, as JSON. What is taken keeps every bound that
// the reference names, and is taken as the same when it is written anew; what is refused is refused
// with a sentence for the caller. An odd first byte: what a version keeps of it.
#include <algorithm>

#include "tests/fuzz/target.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/native/push_request.h"
#include "thaw/gateway/function_hosts.h"

namespace thaw::fuzz {

namespace {

using namespace thaw::dialect::native;
using codec::Json;

Json json_of(const PushRequest& request) {
  Json files = Json::array();
  for (const PushedFile& file : request.files) {
    files.push_back({{"path", file.path}, {"sha256", file.sha256_hex}, {"mode", file.mode}});
  }
  Json out = {{"name", request.name},
              {"dockerfile", request.dockerfile},
              {"files", files},
              {"build_args", request.build_args},
              {"env", request.env},
              {"preset", request.preset},
              {"port", request.contract.port},
              {"wire", request.contract.wire == model::PushContract::Wire::h2c ? "h2c" : "http1"},
              {"health_path", request.contract.health_path},
              {"restored_path", request.contract.restored_path},
              {"arguments", request.contract.arguments},
              {"memory_bytes", request.resources.memory_bytes},
              {"cpu_millis", request.resources.cpu_millis},
              {"gpu", request.resources.gpu},
              {"min", request.scaling.min_containers},
              {"max", request.scaling.max_containers},
              {"concurrency", request.scaling.max_concurrent_inputs},
              {"idle_s", to_seconds(request.scaling.scaledown_window)},
              {"timeout_s", to_seconds(request.timeout)},
              {"startup_timeout_s", to_seconds(request.startup_timeout)},
              {"aliases", request.shares},
              {"snapshot", request.snapshot_at == model::SnapshotAt::ready ? "ready" : "never"}};
  if (request.contract.ready.by == model::PushContract::Ready::By::status) {
    out["ready_path"] = request.contract.ready.path;
  }
  if (request.keep_versions > 0) {
    out["keep_versions"] = request.keep_versions;
  }
  if (request.callers != PushRequest::Callers::by_place) {
    out["callers"] = request.callers == PushRequest::Callers::tokens ? "tokens" : "anyone";
  }
  return out;
}

void check_bounds(const PushRequest& request) {
  expect(gateway::check_label(request.name).has_value(), "a name can be part of a host's name");
  expect(model::check(request.contract).has_value(), "a contract is one that a server can keep");
  for (const PushedFile& file : request.files) {
    expect(file.path.starts_with('/') && file.path.find("/../") == std::string::npos &&
               !file.path.ends_with("/..") && file.path.find('\0') == std::string::npos,
           "a file is in the build's context");
  }
  for (const auto* variables : {&request.env, &request.build_args}) {
    for (const auto& [name, value] : *variables) {
      expect(!name.empty() && name.find('=') == std::string::npos &&
                 (name + value).find('\0') == std::string::npos,
             "a variable can be one of a process");
    }
  }
  const model::Scaling& scaling = request.scaling;
  expect(scaling.min_containers >= 0 && scaling.min_containers <= 10'000 &&
             scaling.max_concurrent_inputs >= 1 && scaling.max_concurrent_inputs <= 10'000 &&
             (scaling.max_containers == 0 || scaling.min_containers <= scaling.max_containers),
         "scaling is within its bounds");
  for (const Duration duration :
       {request.timeout, request.startup_timeout, scaling.scaledown_window}) {
    expect(duration > Duration::zero() && duration <= std::chrono::hours(24),
           "a time is within its bounds");
  }
}

void check_request(std::string_view text) {
  const auto request = read_push_request(text);
  if (!request) {
    expect_sentence(request.error());
    expect(request.error().code() == Code::invalid_argument, "what is refused is the caller's");
    return;
  }
  check_bounds(*request);
  const std::string written = codec::dump_json(json_of(*request));
  const auto again = read_push_request(written);
  expect(again.has_value(), "what was taken is taken again");
  // A time may lose a nanosecond on its way.
  expect(json_of(*again)["files"] == json_of(*request)["files"] &&
             json_of(*again)["dockerfile"] == json_of(*request)["dockerfile"] &&
             again->env == request->env && again->shares == request->shares &&
             again->preset == request->preset && again->contract.port == request->contract.port &&
             again->callers == request->callers && again->resources.gpu == request->resources.gpu &&
             again->scaling.min_containers == request->scaling.min_containers,
         "and is the same");
}

void check_definition(std::string_view bytes) {
  const auto definition = read_definition(bytes);
  if (!definition) {
    expect_sentence(definition.error());
    return;
  }
  const std::string written = write_definition(*definition);
  const auto again = read_definition(written);
  expect(again && write_definition(*again) == written && again->env == definition->env,
         "a definition that was written is read as the same");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  if (bytes.byte() % 2 == 0) {
    check_request(bytes.rest());
  } else {
    check_definition(bytes.rest());
  }
}

}  // namespace thaw::fuzz
