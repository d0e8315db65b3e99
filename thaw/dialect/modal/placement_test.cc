// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/placement.h"

#include <doctest/doctest.h>

#include "thaw/dialect/modal/definition.h"

using namespace thaw;
using dialect::modal::check_placement;
using dialect::modal::spec_from;
using dialect::modal::with_options;
namespace pb = ::modal::client;

namespace {

pb::Function function() {
  pb::Function f;
  f.set_function_name("f");
  return f;
}

pb::Function on_gpu(const char* name) {
  pb::Function f = function();
  f.mutable_resources()->mutable_gpu_config()->set_gpu_type(name);
  f.mutable_resources()->mutable_gpu_config()->set_count(1);
  return f;
}

pb::Function in_region(const char* name) {
  pb::Function f = function();
  f.mutable_scheduler_placement()->add_regions("us");
  f.mutable_scheduler_placement()->add_regions(name);
  return f;
}

std::string refusal(const pb::Function& f, Code code = Code::invalid_argument) {
  const auto checked = spec_from(f);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code() == code);
  return checked.error().message();
}

bool says(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a GPU that nobody knows is refused with those that are known") {
  for (const char* known : {"A100", "a100", "A100-80GB", "H100!", "ANY", "L40S", "T4"}) {
    CHECK_MESSAGE(check_placement(on_gpu(known)), known);
  }
  CHECK(check_placement(function()));
  for (const char* unknown : {"FOO", "A1000", "H100!!", " T4", "GTX"}) {
    const std::string text = refusal(on_gpu(unknown));
    CHECK(says(text, unknown));
    CHECK(says(text, "function 'f'"));
    CHECK(says(text, "H100"));
  }
}

TEST_CASE("a cloud that nobody knows is refused, one that exists changes nothing") {
  pb::Function f = function();
  for (const char* known : {"", "aws", "GCP", "oci", "auto"}) {
    f.set_cloud_provider_str(known);
    CHECK_MESSAGE(spec_from(f), known);
  }
  f.set_cloud_provider_str("xyz");
  const std::string text = refusal(f);
  CHECK(says(text, "cloud=\"xyz\""));
  CHECK(says(text, "aws, gcp, oci, auto"));
}

TEST_CASE("a region that nobody knows is refused, one that could exist changes nothing") {
  for (const char* known : {"us", "eu-west", "us-east-1", "europe-west4", "ap-northeast-3",
                            "us-ashburn-1", "uk", "northamerica-northeast1"}) {
    CHECK_MESSAGE(spec_from(in_region(known)), known);
  }
  for (const char* unknown : {"mars-1", "foo", "us_east", "", "us-", "us east"}) {
    CHECK_MESSAGE(says(refusal(in_region(unknown)), "no region"), unknown);
  }
  pb::Function f = function();
  f.set_routing_region("nowhere");
  CHECK(says(refusal(f), "routing_region=\"nowhere\""));
}

TEST_CASE("a network that would not be what was asked for is refused") {
  pb::Function f = function();
  f.set_i6pn_enabled(true);
  CHECK(says(refusal(f, Code::unimplemented), "i6pn"));
  f = function();
  f.mutable_network_access()->set_network_access_type(pb::NetworkAccess::ALLOWLIST);
  CHECK(says(refusal(f, Code::unimplemented), "block_network=True"));
  f.mutable_network_access()->set_network_access_type(pb::NetworkAccess::OPEN);
  CHECK(spec_from(f));
}

TEST_CASE("what a variant's options ask for is looked at as well") {
  pb::FunctionOptions options;
  options.set_cloud_provider_str("xyz");
  CHECK(says(refusal(with_options(function(), options)), "cloud=\"xyz\""));
  options.set_cloud_provider_str("aws");
  options.mutable_scheduler_placement()->add_regions("mars");
  CHECK(says(refusal(with_options(function(), options)), "region=\"mars\""));
  options.clear_scheduler_placement();
  options.mutable_resources()->mutable_gpu_config()->set_gpu_type("FOO");
  CHECK(says(refusal(with_options(function(), options)), "gpu=\"FOO\""));
  options.clear_resources();
  options.set_routing_region("moon");
  CHECK(says(refusal(with_options(function(), options)), "routing_region"));
  options.clear_routing_region();
  CHECK(spec_from(with_options(function(), options)));
  auto* const bucket = options.add_cloud_bucket_mounts();
  bucket->set_mount_path("/bucket");
  bucket->set_bucket_name("weights");
  CHECK(spec_from(with_options(function(), options))->buckets.size() == 1);
}
