// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/runner.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "thaw/model/push_presets.h"

using namespace thaw;
using model::PushContract;
using By = PushContract::Ready::By;

namespace {

bool is_good(const PushContract& contract) { return model::check(contract).has_value(); }

}  // namespace

TEST_CASE("a contract that says nothing is a server that listens on its port") {
  CHECK(is_good(PushContract{}));
}

TEST_CASE("a contract that cannot be kept is refused, and told why") {
  PushContract contract;
  SUBCASE("no port") { contract.port = 0; }
  SUBCASE("a path that is none") { contract.health_path = "health"; }
  SUBCASE("a path that would be two headers") { contract.target = "/a\r\nx: y"; }
  SUBCASE("a path of restores that is none") { contract.restored_path = "reseed"; }
  SUBCASE("a path without end") { contract.drain_path = "/" + std::string(4096, 'a'); }
  SUBCASE("readiness by a status of no path") { contract.ready.by = By::status; }
  SUBCASE("a status that is none") { contract.ready = {By::status, "/health", "", {"fine"}, {}}; }
  SUBCASE("readiness by a field without a value") {
    contract.ready = {By::field, "/health", "/status", {}, {}};
  }
  SUBCASE("a pointer that is none") {
    contract.ready = {By::field, "/health", "status", {"READY"}, {}};
  }
  SUBCASE("more headers than anybody has") { contract.drop_headers.resize(65); }
  SUBCASE("an argument that a program cannot be given") {
    contract.arguments = {std::string("a\0b", 3)};
  }
  SUBCASE("a signal that is none") { contract.stop_signal = 65; }
  const Result<void> checked = model::check(contract);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code() == Code::invalid_argument);
}

TEST_CASE("each preset keeps what a contract must, and has a name of its own") {
  std::set<std::string_view> names;
  for (const model::PushPreset& preset : model::push_presets()) {
    CAPTURE(preset.name);
    CHECK(is_good(preset.contract));
    CHECK(names.insert(preset.name).second);
    CHECK(model::find_push_preset(preset.name)->of == preset.of);
  }
  CHECK(model::find_push_preset("nobody's") == nullptr);
}
