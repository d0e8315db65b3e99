// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/launch_plan_codec.h"

#include <doctest/doctest.h>

#include <string>

#include "thaw/codec/json.h"

using namespace thaw;
using namespace thaw::worker;

namespace {

// Every field has a value that it does not have by itself.
LaunchPlan whole_plan() {
  LaunchPlan plan;
  plan.id = model::ContainerId("ta-1");
  plan.layers = {"base:debian", "layer:abc-2", "mount:0123"};
  plan.binds = {{"volume:vo-1", "/data", Bind::Access::read_write, "a/b"},
                {"package:clients/x/pkg", "/lib/x"}};
  plan.buckets = {{"weights", "http", "store.lan", 9000, "eu-west-1", "deep/", "/w",
                   Bind::Access::read_write, true, "an-id", "a-secret", "a-token"}};
  plan.files = {{"arguments", std::string("\0\xff\x80 bytes", 9)}, {"empty", ""}};
  plan.argv = {"runtime", "-m", "main"};
  plan.env = {"PATH=/bin", "KEY=\xfe\xff secret"};
  plan.cwd = "/srv";
  plan.user = "1000:1000";
  plan.limits = {std::uint64_t{5} << 33, 1500, 77};
  plan.network = sandbox::SandboxSpec::Network::none;
  plan.reaches = {"10.0.0.0/8", "fd00::/8"};
  plan.log_stream = "ap-1";
  plan.function = "fu-1";
  plan.wants_socket = false;
  plan.guests = sandbox::SandboxSpec::Guests::possible;
  plan.workspace = "ac-1";
  plan.door_port = 9001;
  plan.push.emplace();
  plan.push->port = 81;
  plan.push->wire = model::PushContract::Wire::h2c;
  plan.push->ready = {model::PushContract::Ready::By::field, "/r", "/status", {"ok"}, {"bad"}};
  plan.push->health_path = "/health";
  plan.push->target = "/run";
  plan.push->drop_headers = {"x-a", "x-b"};
  plan.push->restored_path = "/restored";
  plan.push->arguments = {"serve"};
  plan.push->drain_path = "/drain";
  plan.push->stop_signal = 2;
  plan.users = InsideUsers::all;
  plan.levels = {model::Level::restored, model::Level::booted};
  plan.fork.emplace();
  plan.fork->kit = "forking";
  plan.fork->workspace = "ac-1";
  plan.fork->layers = {"base:debian"};
  plan.fork->binds = {{"package:clients/x/pkg", "/lib/x"}};
  plan.fork->env = {"LANG=C"};
  plan.fork->whole_env = {"LANG=C", "KEY=x"};
  plan.fork->learns = ForkPlan::Learns::nothing;
  plan.fork->lineage = std::string("a\0b", 3);
  plan.fork->modules = {"main", "base"};
  plan.snapshot_point = SnapshotPoint{61, "who", "{}", SnapshotPoint::Renewal::of_kits};
  plan.purpose = LaunchPlan::Purpose::snapshot;
  plan.staging = "staging-7";
  plan.snapshot_env = {"SNAP=1"};
  plan.restore = std::string(64, 'a');
  plan.not_restored =
      Fallback{model::Level::restored, "key_changed", "why", Fallback::Tried::failed_before};
  return plan;
}

}  // namespace

TEST_CASE("a launch plan is the same after its way through bytes") {
  const LaunchPlan plan = whole_plan();
  const std::string bytes = write_plan(plan);
  const auto read = read_plan(bytes);
  REQUIRE(read);
  CHECK(write_plan(*read) == bytes);
  CHECK(read->files[0].bytes == plan.files[0].bytes);
  CHECK(read->env == plan.env);
  CHECK(read->binds[0].inside == "a/b");
  CHECK(read->push->ready.pointer == "/status");
  CHECK(read->fork->lineage == plan.fork->lineage);
  CHECK(read->levels == plan.levels);
  const std::string of_nothing = write_plan(LaunchPlan{});
  const auto nothing = read_plan(of_nothing);
  REQUIRE(nothing);
  CHECK(write_plan(*nothing) == of_nothing);
  CHECK_FALSE(nothing->push);
  CHECK_FALSE(nothing->fork);
}

TEST_CASE("a whole plan has no value that a plan has by itself, so that none is left out unseen") {
  const auto json_of = [](const LaunchPlan& plan) {
    const std::string bytes = write_plan(plan);
    return codec::Json::from_cbor(bytes.begin(), bytes.end());
  };
  const codec::Json whole = json_of(whole_plan());
  const codec::Json usual = json_of(LaunchPlan{});
  for (const auto& [name, value] : whole.items()) {
    CAPTURE(name);
    CHECK((!usual.contains(name) || usual[name] != value));
  }
}

TEST_CASE("bytes that are no plan are an error that says so, and never more than that") {
  const std::string bytes = write_plan(whole_plan());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = read_plan(bytes.substr(0, size));
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code() == Code::invalid_argument);
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string other = bytes;
    other[at] = static_cast<char>(~other[at]);
    (void)read_plan(other);  // whatever it says
  }
  const auto with = [](const char* name, codec::Json value) {
    const std::string written = write_plan(LaunchPlan{});
    codec::Json json = codec::Json::from_cbor(written.begin(), written.end());
    json[name] = std::move(value);
    const auto cbor = codec::Json::to_cbor(json);
    return read_plan({cbor.begin(), cbor.end()});
  };
  CHECK_FALSE(with("network", 3));
  CHECK_FALSE(with("network", -1));
  CHECK_FALSE(with("levels", {9}));
  CHECK_FALSE(with("argv", "text"));
  CHECK_FALSE(with("limits", 1));
  CHECK(with("door_port", 65'535));
  CHECK_FALSE(with("door_port", 65'536));
  CHECK_FALSE(with("door_port", -1));
  CHECK_FALSE(with("door_port", 1.0));
  CHECK_FALSE(with("limits", {{"cpu_millis", std::uint64_t{1} << 32}}));
  CHECK(with("of a newer server", 1));
}
