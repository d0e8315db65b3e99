// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/operations.h"

#include <doctest/doctest.h>

#include "thaw/dialect/modal/features.h"

using namespace thaw;
using namespace thaw::dialect::modal;
using model::Grants;
using model::TokenScope;

namespace {

bool may(TokenScope scope, const char* rpc) {
  const gateway::Operation* operation = find_operation(rpc);
  REQUIRE(operation != nullptr);
  return Grants{scope, ""}.allow(operation->any_of);
}

}  // namespace

TEST_CASE("an RPC is found by its name, in both of its forms, and nothing else is") {
  for (const char* rpc : {"FunctionMap", "AppClientDisconnect", "WorkspaceNameLookup"}) {
    REQUIRE(find_operation(rpc) != nullptr);
    CHECK(find_operation(rpc)->name == rpc);
  }
  CHECK(find_operation("VolumeGetFile2") == find_operation("VolumeGetFile"));
  CHECK(find_operation("SandboxListV2") == find_operation("SandboxList"));
  for (const char* none : {"", "2", "V2", "Function", "FunctionMaps", "functionmap", "ZZZ"}) {
    CHECK(find_operation(none) == nullptr);
  }
  CHECK(rpc_of("/modal.client.ModalClient/FunctionMap") == "FunctionMap");
}

TEST_CASE("who may call functions makes nothing, and who may look calls nothing") {
  for (const char* rpc : {"FunctionGet", "FunctionMap", "FunctionGetOutputs", "FunctionCallCancel",
                          "BlobCreate", "ClientHello"}) {
    CAPTURE(rpc);
    CHECK(may(TokenScope::invoke, rpc));
  }
  for (const char* rpc : {"AppCreate", "AppPublish", "AppStop", "FunctionCreate", "SecretList",
                          "ImageGetOrCreate", "SandboxCreateV2", "EnvironmentDelete", "AppList"}) {
    CAPTURE(rpc);
    CHECK_FALSE(may(TokenScope::invoke, rpc));
  }
  for (const char* rpc : {"FunctionMap", "FunctionPutInputs", "FunctionCallCancel", "AppCreate",
                          "SecretUpdate", "VolumePutFiles2", "BlobCreate"}) {
    CAPTURE(rpc);
    CHECK_FALSE(may(TokenScope::read, rpc));
  }
  CHECK(may(TokenScope::read, "AppList"));
  CHECK(may(TokenScope::deploy, "AppList"));
  CHECK(may(TokenScope::deploy, "AppPublish"));
  CHECK_FALSE(may(TokenScope::deploy, "EnvironmentDelete"));
  CHECK(may(TokenScope::admin, "EnvironmentDelete"));
}

TEST_CASE("what a look must not change is not for who may look") {
  CHECK_FALSE(may(TokenScope::read, "FunctionBindParams"));  // it makes a variant
  CHECK(may(TokenScope::invoke, "FunctionBindParams"));
}
