// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/older_clients.h"

#include <doctest/doctest.h>

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

TEST_CASE("a client's version is its first three numbers") {
  CHECK(parse_client_version("0.64.235") == ClientVersion{0, 64, 235});
  CHECK(parse_client_version("1.6.4.dev3") == ClientVersion{1, 6, 4});
  CHECK(parse_client_version("1.6.4rc1") == ClientVersion{1, 6, 4});
  for (const char* text :
       {"", "1", "1.2", "1.2.", "a.b.c", "1.-2.3", "99999999999.1.1", " 1.2.3"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_client_version(text));
  }
  CHECK(*parse_client_version("0.70.9") < arguments_in_file_since);
  CHECK(*parse_client_version("1.0.0") >= arguments_in_file_since);
}

TEST_CASE("a field that has left the schema is read and written, and survives being stored") {
  pb::Function function;
  CHECK(former_text(function, 54).empty());
  set_former_text(function, 54, "fu-1");
  set_former_text(function, 54, "fu-2");
  pb::Function again;
  REQUIRE(again.ParseFromString(function.SerializeAsString()));
  CHECK(former_text(again, 54) == "fu-2");
  CHECK(former_text(again, 55).empty());
}

TEST_CASE("a GPU by number has its name, one by name keeps it") {
  const auto named = [](int type, const std::string& name) {
    pb::Function function;
    pb::GPUConfig& gpu = *function.mutable_resources()->mutable_gpu_config();
    gpu.set_type(static_cast<pb::GPUType>(type));
    gpu.set_gpu_type(name);
    in_todays_words(function);
    return gpu.gpu_type();
  };
  CHECK(named(pb::GPU_TYPE_A100, "") == "A100-40GB");
  CHECK(named(pb::GPU_TYPE_A100_80GB, "") == "A100-80GB");
  CHECK(named(pb::GPU_TYPE_T4, "") == "T4");
  CHECK(named(pb::GPU_TYPE_T4, "H100") == "H100");
  CHECK(named(0, "").empty());
  CHECK(named(77, "") == "number 77");
  pb::Function none;
  in_todays_words(none);
  CHECK_FALSE(none.has_resources());
}

TEST_CASE("inputs at once of an older client are the most there may be") {
  pb::FunctionOptions options;
  options.set_target_concurrent_inputs(7);
  in_todays_words(options);
  CHECK(options.max_concurrent_inputs() == 7);
  CHECK_FALSE(options.has_target_concurrent_inputs());
  options.set_target_concurrent_inputs(3);
  in_todays_words(options);
  CHECK(options.max_concurrent_inputs() == 7);
  CHECK(options.target_concurrent_inputs() == 3);
}

}  // namespace thaw::dialect::modal
