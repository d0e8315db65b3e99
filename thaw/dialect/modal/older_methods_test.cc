// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/older_methods.h"

#include <doctest/doctest.h>

#include "thaw/dialect/modal/older_clients.h"

namespace thaw::dialect::modal {

namespace {

// Of a class with two methods, as its service function has them.
model::FunctionSpec counter() {
  pb::Function definition;
  definition.set_function_name("Counter.*");
  for (const char* name : {"add", "count"}) {
    pb::MethodDefinition& method = (*definition.mutable_method_definitions())[name];
    method.set_function_name(std::string("Counter.") + name);
    method.set_function_type(pb::Function::FUNCTION_TYPE_FUNCTION);
  }
  model::FunctionSpec spec;
  spec.id = model::FunctionId("fu-service");
  spec.version = "de-1";
  spec.name = "Counter.*";
  definition.SerializeToString(&spec.definition);
  return spec;
}

}  // namespace

TEST_CASE("an older client is told of a class by its methods, each a function to be called") {
  const model::FunctionSpec service = counter();
  const pb::ClassHandleMetadata told = class_metadata(&service, {});
  REQUIRE(told.methods_size() == 2);
  for (const auto& method : told.methods()) {
    const pb::FunctionHandleMetadata& handle = method.function_handle_metadata();
    CHECK(method.function_id().starts_with("fu-"));
    CHECK(handle.use_method_name() == method.function_name());
    CHECK(handle.function_name() == "Counter." + method.function_name());
    CHECK(handle.is_method());
    CHECK(former_text(handle, 40) == "fu-service");
  }
  CHECK(told.methods(0).function_id() != told.methods(1).function_id());
  CHECK(class_metadata(nullptr, {}).methods_size() == 0);
}

TEST_CASE("of what is published the methods go, and nothing else") {
  const model::FunctionSpec service = counter();
  pb::AppPublishRequest request;
  auto& functions = *request.mutable_function_ids();
  functions["Counter.*"] = "fu-service";
  const pb::ClassHandleMetadata told = class_metadata(&service, {});
  for (const auto& method : told.methods()) {
    functions["Counter." + method.function_name()] = method.function_id();
    functions["Other." + method.function_name()] = method.function_id();
  }
  functions["Counter.forged"] = "fu-of-somebody";
  functions["plain"] = "fu-plain";
  functions["Lonely.*"] = "fu-lonely";
  drop_methods(request);
  CHECK(functions.size() == 6);
  CHECK_FALSE(functions.contains("Counter.add"));
  CHECK_FALSE(functions.contains("Counter.count"));
  CHECK(functions.contains("Counter.forged"));
  CHECK(functions.contains("Other.add"));
}

TEST_CASE("a function is an older client's method only if it names both the class and itself") {
  pb::Function definition;
  CHECK_FALSE(older_method(definition));
  set_former_text(definition, 54, "fu-service");
  CHECK_FALSE(older_method(definition));
  set_former_text(definition, 55, "add");
  REQUIRE(older_method(definition));
  CHECK(older_method(definition)->service == "fu-service");
  CHECK(older_method(definition)->name == "add");
  pb::FunctionPrecreateRequest request;
  CHECK_FALSE(older_method(request));
  set_former_text(request, 7, "add");  // its class has no id yet
  REQUIRE(older_method(request));
  CHECK(older_method(request)->service.empty());
}

}  // namespace thaw::dialect::modal
