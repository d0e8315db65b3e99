// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/definition.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "thaw/dialect/modal/features.h"

using namespace thaw;
using namespace thaw::dialect::modal;

namespace {

pb::Function named(const char* name) {
  pb::Function f;
  f.set_function_name(name);
  return f;
}

}  // namespace

TEST_CASE("a definition that says nothing gets the cloud's defaults") {
  const auto spec = spec_from(named("f"));
  REQUIRE(spec);
  CHECK(spec->timeout == 300s);
  CHECK(spec->scaling.scaledown_window == 60s);
  CHECK(spec->scaling.max_concurrent_inputs == 1);
  CHECK(spec->retry.max_retries == 0);
  CHECK(spec->resources.gpu.empty());
}

TEST_CASE("the newer settings win over the older fields of the same meaning") {
  pb::Function f = named("f");
  f.set_warm_pool_size(1);
  f.set_task_idle_timeout_secs(5);
  f.mutable_autoscaler_settings()->set_min_containers(0);
  f.mutable_autoscaler_settings()->set_scaledown_window(9);
  const auto spec = spec_from(f);
  CHECK(spec->scaling.min_containers == 0);
  CHECK(spec->scaling.scaledown_window == 9s);
}

TEST_CASE("a function says by an experimental option that it is not to be frozen") {
  using model::Scaling;
  pb::Function f = named("f");
  CHECK(spec_from(f)->scaling.freezing == Scaling::Freezing::allowed);
  for (const char* off : {"off", "False", "0"}) {
    (*f.mutable_experimental_options())["thaw_freeze"] = off;
    CHECK(spec_from(f)->scaling.freezing == Scaling::Freezing::never);
  }
  (*f.mutable_experimental_options())["thaw_freeze"] = "on";
  CHECK(spec_from(f)->scaling.freezing == Scaling::Freezing::allowed);
}

TEST_CASE("a number that is none, or is absurd, is refused by the name of its field") {
  const auto refusal = [](const std::function<void(pb::Function&)>& set) {
    pb::Function f = named("f");
    set(f);
    const auto spec = spec_from(f);
    REQUIRE_FALSE(spec);
    CHECK(spec.error().code() == Code::invalid_argument);
    return spec.error().message().substr(0, spec.error().message().find(' '));
  };
  const float infinite = std::numeric_limits<float>::infinity();
  for (const float bad : {infinite, -infinite, std::nanf(""), -1.0F, 1e30F}) {
    CHECK(refusal([&](pb::Function& f) {
            f.mutable_retry_policy()->set_backoff_coefficient(bad);
          }) == "retry_policy.backoff_coefficient");
  }
  CHECK(refusal([&](pb::Function& f) {
          f.mutable_webhook_config()->set_web_server_startup_timeout(infinite);
        }) == "webhook_config.web_server_startup_timeout");
  CHECK(refusal([](pb::Function& f) {
          f.mutable_autoscaler_settings()->set_target_concurrency_float(std::nan(""));
        }) == "autoscaler_settings.target_concurrency_float");
  const std::uint32_t most = 0xffffffff;
  CHECK(refusal([=](pb::Function& f) {
          f.mutable_autoscaler_settings()->set_scaledown_window(most);
        }) == "autoscaler_settings.scaledown_window");
  CHECK(refusal([=](pb::Function& f) { f.set_target_concurrent_inputs(most); }) ==
        "target_concurrent_inputs");
  CHECK(refusal([=](pb::Function& f) { f.set_timeout_secs(most); }) == "timeout_secs");
  CHECK(refusal([](pb::Function& f) { f.set_batch_linger_ms(~std::uint64_t{0}); }) ==
        "batch_linger_ms");
  CHECK(refusal([=](pb::Function& f) { f.mutable_resources()->set_memory_mb(most); }) ==
        "resources.memory_mb");
  CHECK(refusal([](pb::Function& f) {
          f.mutable_webhook_config()->set_type(pb::WEBHOOK_TYPE_WEB_SERVER);
          f.mutable_webhook_config()->set_web_server_port(70'000);
        }) == "webhook_config.web_server_port");
  pb::Function fine = named("f");
  fine.mutable_retry_policy()->set_backoff_coefficient(2.5F);
  fine.set_timeout_secs(86'400);
  CHECK(spec_from(fine));
}

TEST_CASE("a request for a GPU is kept with its count") {
  pb::Function f = named("f");
  f.mutable_resources()->mutable_gpu_config()->set_gpu_type("A100");
  f.mutable_resources()->mutable_gpu_config()->set_count(2);
  CHECK(spec_from(f)->resources.gpu == "A100:2");
}

TEST_CASE("what is not served is refused with its name") {
  pb::Function f = named("f");
  f.set_untrusted(true);
  CHECK(spec_from(f)->reach == model::Reach::inputs);
  CHECK_FALSE(spec_from(pb::Function()));
  CHECK(spec_from(f)->snapshot_at == model::SnapshotAt::never);
  f.set_checkpointing_enabled(true);
  CHECK(spec_from(f)->snapshot_at == model::SnapshotAt::asked);
  const Error error = not_served("/modal.client.ModalClient/SandboxCreate");
  CHECK(error.code() == Code::unimplemented);
  CHECK(error.message().find("sandboxes") != std::string::npos);
  CHECK(feature_of("ProxyGet") == "proxies");
  CHECK(feature_of("WorkspaceBillingReport") == "billing");
  CHECK(feature_of("PersistentSandboxGet") == "persistent sandboxes");
  CHECK(feature_of("Unheard") == "the RPC Unheard");
}

TEST_CASE("an error about a function is of bounded length, whatever the function is called") {
  pb::Function f = named("f");
  f.mutable_function_name()->assign(1000, 'n');
  CHECK(spec_from(f));
  f.mutable_function_name()->assign(100'000, 'n');
  REQUIRE_FALSE(spec_from(f));
  CHECK(spec_from(f).error().code() == Code::invalid_argument);
  CHECK(spec_from(f).error().message().size() < 500);
  f = named("f");
  f.add_volume_mounts()->set_mount_path(std::string(100'000, '/'));
  REQUIRE_FALSE(spec_from(f));
  CHECK(spec_from(f).error().message().size() < 500);
}

TEST_CASE("a volume is mounted at an absolute path that is not the system's own") {
  pb::Function f = named("f");
  auto* mount = f.add_volume_mounts();
  mount->set_volume_id("vo-1");
  mount->set_mount_path("/data//models/");
  mount->set_read_only(true);
  mount->set_sub_path("/users/ann");
  const auto spec = spec_from(f);
  REQUIRE(spec);
  CHECK(spec->volumes.at(0).volume == model::VolumeId("vo-1"));
  CHECK(spec->volumes.at(0).path == "/data/models");
  CHECK(spec->volumes.at(0).sub_path == "users/ann");
  CHECK(spec->volumes.at(0).access == model::VolumeMount::Access::read_only);
  for (const char* bad :
       {"", "/", "data", "/proc", "/dev/shm", "/run/thaw", "/__modal/deps", "/data/../etc"}) {
    mount->set_mount_path(bad);
    CHECK_MESSAGE(!spec_from(f), bad);
  }
  mount->set_mount_path("/data");
  mount->set_sub_path("../vo-2");
  CHECK_FALSE(spec_from(f));
}

TEST_CASE("options replace or add, as the variant asks") {
  pb::Function f = named("f");
  f.add_secret_ids("st-1");
  pb::FunctionOptions options;
  options.add_secret_ids("st-2");
  options.set_timeout_secs(5);
  CHECK(with_options(f, options).secret_ids_size() == 2);
  options.set_replace_secret_ids(true);
  const pb::Function merged = with_options(f, options);
  CHECK(merged.secret_ids_size() == 1);
  CHECK(merged.secret_ids(0) == "st-2");
  CHECK(merged.timeout_secs() == 5);
}

TEST_CASE("a web label is one DNS label, and says when it is not deployed") {
  pb::WebhookConfig config;
  CHECK(web_label("my app", "Cls.run", config, false, {})->empty());
  config.set_type(pb::WEBHOOK_TYPE_FUNCTION);
  CHECK(*web_label("my app", "Cls.run", config, false, {}) == "my-app-cls-run");
  CHECK(*web_label("my app", "f", config, true, {}) == "my-app-f-dev");
  CHECK(*web_label("my__app_", "f", config, false, {}) == "my-app-f");
  CHECK(*web_label("my app", "f", config, false, {.environment = "Dev"}) == "dev--my-app-f");
  config.set_requested_suffix("Custom-Label");
  CHECK(*web_label("a", "f", config, false, {}) == "custom-label");
  CHECK(*web_label("a", "f", config, false, {.environment = "dev"}) == "dev--custom-label");
}

TEST_CASE("a label of the user's own that cannot be one part of a host name is refused") {
  pb::WebhookConfig config;
  config.set_type(pb::WEBHOOK_TYPE_WEB_SERVER);
  for (const char* bad : {"127", "thaw", "LOCALHOST", "a_b", "a.b", "beta--main--x", "-"}) {
    config.set_requested_suffix(bad);
    CHECK_MESSAGE(!web_label("a", "f", config, false, {}), bad);
  }
}

TEST_CASE("the printed address is a host where there are names or addresses for one") {
  model::FunctionSpec spec;
  WebAddresses addresses;
  addresses.authority = "thaw.example.com:8700";
  addresses.port = ":8700";
  CHECK(web_url(addresses, spec, "").empty());
  CHECK(web_url(addresses, spec, "a-f") == "http://thaw.example.com:8700/web/a-f");
  addresses.host_of = [](const std::string& label, const model::WorkspaceId&) {
    return label == "a-f" ? std::string("127.64.0.1") : std::string();
  };
  CHECK(web_url(addresses, spec, "a-f") == "http://127.64.0.1:8700");
  CHECK(web_url(addresses, spec, "a-g") == "http://thaw.example.com:8700/web/a-g");
  addresses.domain = "localhost";
  CHECK(web_url(addresses, spec, "a-f") == "http://a-f.localhost:8700");
  addresses = {.scheme = "https", .authority = "x", .domain = "fn.example.com"};
  CHECK(web_url(addresses, spec, "a-f") == "https://a-f.fn.example.com");
}

TEST_CASE("no label of one workspace is another's") {
  pb::WebhookConfig config;
  config.set_type(pb::WEBHOOK_TYPE_FUNCTION);
  CHECK(*web_label("a", "f", config, false, {.workspace = "beta"}) == "beta--main--a-f");
  // Of the default workspace, with names that look like the other's.
  CHECK(*web_label("beta--main--a", "f", config, false, {}) == "beta-main-a-f");
  CHECK(*web_label("main--a", "f", config, false, {.environment = "beta"}) == "beta--main-a-f");
  CHECK(*web_label("a", "f", config, false, {.environment = "beta--main"}) == "beta-main--a-f");
  // What is shortened does not end in a dash before its digest.
  const auto shortened = web_label(std::string(46, 'x') + "-yyyyyyyyyyyyyyyy", "f", config, false,
                                   {.environment = "beta"});
  CHECK(shortened->find("--", 6) == std::string::npos);
}

TEST_CASE("a web label that must be shortened stays its function's own, at every deployment") {
  pb::WebhookConfig config;
  config.set_type(pb::WEBHOOK_TYPE_FUNCTION);
  const std::string app(70, 'a');
  const std::string first = *web_label(app, "first", config, false, {});
  CHECK(first.size() == 63);
  CHECK(first == *web_label(app, "first", config, false, {}));
  CHECK(first != *web_label(app, "second", config, false, {}));
  CHECK(first != *web_label(app, "first", config, true, {}));
  CHECK(first.starts_with("aaaa"));
  CHECK(*web_label(std::string(61, 'a'), "f", config, false, {}) == std::string(61, 'a') + "-f");
}

TEST_CASE("a schedule is one only if it says when") {
  pb::Schedule schedule;
  CHECK_FALSE(has_schedule(schedule));
  schedule.mutable_cron()->set_cron_string("* * * * *");
  CHECK(has_schedule(schedule));
  schedule.mutable_period()->set_days(1);
  CHECK(has_schedule(schedule));
  CHECK(schedule_warning("f").find("'f' has a schedule") != std::string::npos);
}

TEST_CASE("a query names parameters of a class, and the rest are the defaults") {
  pb::Function f;
  pb::ClassParameterSpec& name = *f.mutable_class_parameter_info()->add_schema();
  name.set_name("name");
  name.set_type(pb::PARAM_TYPE_STRING);
  pb::ClassParameterSpec& count = *f.mutable_class_parameter_info()->add_schema();
  count.set_name("count");
  count.mutable_full_type()->set_base_type(pb::PARAM_TYPE_INT);
  count.set_int_default(3);
  const auto parameters = parameters_in_query(f, "x=1&name=a+b%21&count=-7");
  REQUIRE((parameters && *parameters));
  pb::ClassParameterSet set;
  REQUIRE(set.ParseFromString(**parameters));
  CHECK(set.parameters(0).string_value() == "a b!");
  CHECK(set.parameters(1).int_value() == -7);
  const auto defaulted = parameters_in_query(f, "name=");
  REQUIRE((defaulted && *defaulted && set.ParseFromString(**defaulted)));
  CHECK(set.parameters(0).string_value().empty());
  CHECK(set.parameters(1).int_value() == 3);
  for (const char* wrong : {"", "count=1", "name=a&count=1x", "name=a&count=", "name=%ff",
                            "name=a&count=9223372036854775808"}) {
    CHECK(parameters_in_query(f, wrong).error().code() == Code::invalid_argument);
  }
  const auto twice = parameters_in_query(f, "name=first&n%61me=second&count=4&name=third");
  REQUIRE((twice && *twice && set.ParseFromString(**twice)));
  CHECK(set.parameters(0).string_value() == "first");
  count.set_name(std::string(100'000, 'c'));
  CHECK(parameters_in_query(f, "name=a&" + count.name() + "=x").error().message().size() < 300);
  count.set_name("count");
  name.set_string_default("d");
  CHECK_FALSE(parameters_in_query(f, "other=1")->has_value());
  CHECK_FALSE(parameters_in_query({}, "name=a")->has_value());
}

TEST_CASE("what would be accepted and never work is refused by its name") {
  pb::Function server;
  server.set_function_name("f");
  server.mutable_http_config()->set_port(8000);
  const auto refused = spec_from(server);
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::unimplemented);
  CHECK(refused.error().message().find("experimental.http_server") != std::string::npos);

  pb::Function domain;
  domain.set_function_name("f");
  (*domain.mutable_method_definitions())["m"].mutable_webhook_config()->add_custom_domains();
  CHECK(spec_from(domain).error().message().find("custom_domains") != std::string::npos);
  (*domain.mutable_method_definitions())["m"].mutable_webhook_config()->clear_custom_domains();
  CHECK(spec_from(domain));
}

TEST_CASE("a network file system is mounted like a volume, and not over the system's own folders") {
  pb::Function f = named("f");
  auto* mount = f.add_shared_volume_mounts();
  mount->set_shared_volume_id("sv-1");
  mount->set_mount_path("/root/shared/");
  const auto spec = spec_from(f);
  REQUIRE(spec);
  REQUIRE(spec->volumes.size() == 1);
  CHECK(spec->volumes[0].volume.str() == "sv-1");
  CHECK(spec->volumes[0].path == "/root/shared");
  CHECK(spec->volumes[0].access == model::VolumeMount::Access::read_write);
  for (const char* path : {"/proc/x", "relative", "/", "/__modal/volumes/x", "/a/../b"}) {
    CAPTURE(path);
    mount->set_mount_path(path);
    CHECK_FALSE(spec_from(f));
  }
}

TEST_CASE("a bucket is read out, and what serves it is in no snapshot") {
  pb::Function f = named("reads");
  f.set_checkpointing_enabled(true);
  auto* mount = f.add_cloud_bucket_mounts();
  mount->set_bucket_name("weights");
  mount->set_mount_path("/w");
  mount->set_key_prefix("of/mine/");
  mount->set_bucket_endpoint_url("http://store.lan:9000");
  mount->set_credentials_secret_id("st-1");
  mount->set_read_only(true);
  mount->set_requester_pays(true);
  const auto spec = spec_from(f);
  REQUIRE(spec);
  REQUIRE(spec->buckets.size() == 1);
  const model::BucketMount& bucket = spec->buckets[0];
  CHECK(bucket.bucket == "weights");
  CHECK(bucket.path == "/w");
  CHECK(bucket.prefix == "of/mine/");
  CHECK(bucket.endpoint == "http://store.lan:9000");
  CHECK(bucket.secret.str() == "st-1");
  CHECK(bucket.access == model::BucketMount::Access::read_only);
  CHECK(bucket.payer == model::BucketMount::Payer::requester);
  CHECK(spec->snapshot_at == model::SnapshotAt::never);
}

TEST_CASE("a bucket that cannot be is refused") {
  const auto refusal = [](const char* name, const char* path, const char* prefix,
                          const char* role) {
    pb::Function f = named("f");
    auto* mount = f.add_cloud_bucket_mounts();
    mount->set_bucket_name(name);
    mount->set_mount_path(path);
    mount->set_key_prefix(prefix);
    mount->set_oidc_auth_role_arn(role);
    const auto spec = spec_from(f);
    return spec ? Code::ok : spec.error().code();
  };
  CHECK(refusal("weights", "/w", "", "") == Code::ok);
  CHECK(refusal("weights", "/w", "", "arn:aws:iam::1:role/x") == Code::unimplemented);
  for (const char* name : {"", "ab", "a/b", "a..b", "-ab", "a b", "bucket,endpoint=x"}) {
    CHECK(refusal(name, "/w", "", "") == Code::invalid_argument);
  }
  for (const char* path : {"", "w", "/proc/x", "/dev"}) {
    CHECK(refusal("weights", path, "", "") == Code::invalid_argument);
  }
  for (const char* prefix : {"a", "/a/", "../", "a/../b/", "a//", "a\n/", "./"}) {
    CHECK(refusal("weights", "/w", prefix, "") == Code::invalid_argument);
  }
  pb::Function f = named("f");
  for (int i = 0; i < 17; ++i) {
    f.add_cloud_bucket_mounts()->set_bucket_name("weights");
  }
  CHECK(spec_from(f).error().code() == Code::invalid_argument);
}

TEST_CASE("a function asks for its GPU's memory in one of three ways") {
  pb::Function f = named("f");
  CHECK_FALSE(wants_gpu_snapshot(f));
  f.set_enable_gpu_snapshot(true);
  CHECK(wants_gpu_snapshot(f));
  f.set_enable_gpu_snapshot(false);
  (*f.mutable_experimental_options())["enable_gpu_snapshot"] = "True";
  CHECK(wants_gpu_snapshot(f));
  (*f.mutable_experimental_options())["enable_gpu_snapshot"] = "False";
  CHECK_FALSE(wants_gpu_snapshot(f));
}
