// SPDX-License-Identifier: Apache-2.0
//
// The parts that need no root: what crosses the wire, and what strangers' files may say.
#include <doctest/doctest.h>

#include "thaw/sandbox/detail/resolver.h"
#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/detail/user_lookup.h"
#include "thaw/sandbox/detail/wire.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::detail;

namespace {

SandboxSpec full_spec() {
  SandboxSpec spec;
  spec.id = model::ContainerId("ta-1");
  spec.layers = {"/a", "/b"};
  spec.upper = "/up";
  spec.binds = {{"/from", "/to", BindMount::Access::read_write, "a/b"}};
  spec.argv = {"run", "", "x"};
  spec.env = {"A=b"};
  spec.cwd = "/work";
  spec.hostname = "host";
  spec.user = "me";
  spec.limits = {1 << 20, 500, 7};
  spec.profile = Profile::build;
  spec.network = SandboxSpec::Network::host;
  spec.workspace = "ac-1";
  spec.fork_from = model::ContainerId("tt-1");
  return spec;
}

constexpr const char* passwd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "short:x:5\n"
    "negative:x:-1:5::/:/bin/sh\n"
    "huge:x:4294967295:5::/:/bin/sh\n"
    "word:x:zero:0::/:/bin/sh\n"
    "ann:x:1001:1002:Ann:/home/ann:/bin/sh\n"
    "lost:x:1003:1003:::\n";
constexpr const char* group = "root:x:0:\nstaff:x:50:bob,ann\nann:x:1002:ann\nbad:x:-3:ann\n";

}  // namespace

TEST_CASE("a specification arrives as it was sent") {
  const auto arrived = decode(encode(full_spec()));
  REQUIRE(arrived);
  CHECK(encode(*arrived) == encode(full_spec()));
  CHECK(arrived->binds[0].access == BindMount::Access::read_write);
  CHECK(arrived->binds[0].inside == "a/b");
  CHECK(arrived->argv == full_spec().argv);
  CHECK_FALSE(arrived->reaches);
  for (const std::vector<std::string>& networks : {std::vector<std::string>(), {"10.0.0.0/8"}}) {
    SandboxSpec listed = full_spec();
    listed.reaches = networks;
    const auto with_list = decode(encode(listed));
    REQUIRE(with_list);
    CHECK(with_list->reaches == networks);
  }
}

TEST_CASE("a specification that is cut short is refused wherever the cut is") {
  const std::string bytes = encode(full_spec());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK(!decode(std::string_view(bytes).substr(0, size)));
  }
}

TEST_CASE("a specification with more than the encoder writes is refused, and not cut to fit") {
  CHECK(!decode(encode(full_spec()) + "x"));
  const auto changed = [](std::uint64_t from, std::uint64_t to) {
    std::string bytes = encode(full_spec());
    const std::string old = Writer().number(from).bytes();
    bytes.replace(bytes.find(old), old.size(), Writer().number(to).bytes());
    return bytes;
  };
  CHECK(decode(changed(1 << 20, std::uint64_t{1} << 60)));
  CHECK(!decode(changed(500, 500 + (std::uint64_t{1} << 32))));  // thousandths of a processor
  SandboxSpec spec = full_spec();
  spec.profile = static_cast<Profile>(3);
  CHECK(!decode(encode(spec)));
  spec = full_spec();
  spec.network = static_cast<SandboxSpec::Network>(3);
  CHECK(!decode(encode(spec)));
  SpawnerOptions options;
  CHECK(decode_options(encode(options)));
  CHECK(!decode_options(encode(options) + "x"));
  options.own_ids = static_cast<SpawnerOptions::OwnIds>(3);
  CHECK(!decode_options(encode(options)));
}

TEST_CASE("a failure that is told is a failure, whatever its code") {
  const auto told = [](const std::string& bytes) {
    Reader reader(bytes);
    (void)reader.kind();
    return decode_failure(reader);
  };
  const Error error = told(encode_failure(Error::not_found("no such layer")));
  CHECK(error.code() == Code::not_found);
  CHECK(error.message() == "no such layer");
  for (const std::uint64_t code : {0, 17, 99}) {
    CAPTURE(code);
    CHECK(told(Writer(Kind::failed).number(code).text("x").bytes()).code() == Code::internal);
  }
  CHECK(told(Writer(Kind::failed).number(5).bytes()).code() == Code::internal);
}

TEST_CASE("a specification that could name anything outside is refused") {
  const auto refused = [](auto change) {
    SandboxSpec spec = full_spec();
    change(spec);
    return !validate(spec);
  };
  CHECK(validate(full_spec()));
  CHECK(refused([](SandboxSpec& s) { s.id = model::ContainerId("../x"); }));
  const auto lists = [](SandboxSpec& s, std::vector<std::string> networks) {
    s.network = SandboxSpec::Network::bridge;
    s.fork_from = model::ContainerId();
    s.reaches = std::move(networks);
  };
  CHECK_FALSE(refused([&](SandboxSpec& s) { lists(s, {"10.0.0.0/8", "fd00::/8", "1.2.3.4"}); }));
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0.0/8 } accept", "a", "1.2.3.4\n", "::/129"}) {
    CHECK(refused([&](SandboxSpec& s) { lists(s, {bad}); }));
  }
  CHECK(refused([&](SandboxSpec& s) { lists(s, std::vector<std::string>(1'001, "10.0.0.0/8")); }));
  CHECK(refused([&](SandboxSpec& s) {
    lists(s, {"10.0.0.0/8"});
    s.fork_from = model::ContainerId("tt-1");
  }));
  CHECK(refused([](SandboxSpec& s) { s.id = model::ContainerId(".."); }));
  CHECK(refused([](SandboxSpec& s) { s.id = model::ContainerId(""); }));
  CHECK(refused([](SandboxSpec& s) { s.layers.clear(); }));
  CHECK(refused([](SandboxSpec& s) { s.layers = {"relative"}; }));
  CHECK(refused([](SandboxSpec& s) { s.binds[0].target = "relative"; }));
  CHECK(refused([](SandboxSpec& s) { s.argv.clear(); }));
  CHECK(refused([](SandboxSpec& s) { s.env.push_back(std::string("A=\0b", 4)); }));
  CHECK(refused([](SandboxSpec& s) { s.hostname = std::string(64, 'x'); }));
}

TEST_CASE("a user is found by name and by number, with groups and home") {
  const auto ann = find_user("ann", passwd, group);
  REQUIRE(ann);
  CHECK(ann->uid == 1001);
  CHECK(ann->gid == 1002);
  CHECK(ann->groups == std::vector<gid_t>{50});
  CHECK(ann->home == "/home/ann");
  CHECK(find_user("1001", passwd, group)->home == "/home/ann");
  CHECK(find_user("", passwd, group)->home == "/root");
  CHECK(find_user("", "", "")->uid == 0);
  CHECK(find_user("7:staff", passwd, group)->gid == 50);
  CHECK(find_user("ann:9", passwd, group)->gid == 9);
}

TEST_CASE("broken lines of a passwd file make nobody root") {
  for (const char* name : {"short", "negative", "huge", "word", "nobody", "-1", "4294967295",
                           "99999999999999999999", "ann:", "ann:nogroup", ":", "ro\not"}) {
    CAPTURE(name);
    CHECK(!find_user(name, passwd, group));
  }
  CHECK(find_user("lost", passwd, group)->home == "/");
  CHECK(!find_user("root", std::string(100'000, ':'), ""));
}

TEST_CASE("name servers that a sandbox cannot reach are left out") {
  CHECK(reachable_resolvers("nameserver 127.0.0.53\noptions edns0\n").empty());
  CHECK(reachable_resolvers("nameserver 10.0.0.1\n") == "nameserver 10.0.0.1\n");
  CHECK(
      reachable_resolvers("search x\nnameserver ::1\nnameserver fd00::1\nnameserver\t9.9.9.9\n") ==
      "search x\nnameserver\t9.9.9.9\n");
  CHECK(reachable_resolvers("nameserver fd00::1\n") == "nameserver fd00::1\n");
  CHECK(name_servers("nameserver 10.0.0.1\nnameserver 127.0.0.1\nnameserver x;drop\n") ==
        std::vector<std::string>{"10.0.0.1"});
}

TEST_CASE("both lists of system calls compile to filters that the kernel can take") {
  for (const Profile profile : {Profile::function, Profile::build}) {
    for (const Ids ids : {Ids::own, Ids::of_machine}) {
      const auto filter = make_filter(profile, ids);
      REQUIRE(filter);
      CHECK(filter->size() > 50);
      CHECK(filter->size() < 4096);
    }
  }
}
