// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/tunnels.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

// Two containers that work, of one function that keeps two.
struct Burrow : control::FleetHouse {
  Tunnels tunnels;
  const model::WorkspaceId mine{"ac-1"};
  const model::WorkspaceId other{"ac-2"};

  explicit Burrow(TunnelLimits limits = {})
      : tunnels(
            loop, [this](const model::ContainerId& id) { return fleet->address_of(id); }, limits) {
    spec.scaling.min_containers = 2;
    publish();
    fleet->refresh(spec.id);
    passes(1s);
    REQUIRE(worker.running.size() == 2);
  }
  ~Burrow() { await(tunnels.stop()); }

  model::ContainerId container_id(std::size_t which) const { return worker.launched.at(which); }
  Code opens(std::size_t which, std::uint16_t port, const model::WorkspaceId& workspace,
             Tunnels::Wire wire = Tunnels::Wire::plain) {
    const auto opened = tunnels.open(container_id(which), workspace, port, wire);
    return opened ? Code::ok : opened.error().code();
  }
};

}  // namespace

TEST_CASE("tunnels are of their container, and close when it ends") {
  Burrow f;
  CHECK(f.opens(0, 8'000, f.mine) == Code::failed_precondition);  // nobody has said where
  f.tunnels.start("127.0.0.1");
  CHECK(f.opens(0, 8'000, f.mine) == Code::ok);
  CHECK(f.opens(0, 8'000, f.mine) == Code::already_exists);
  CHECK(f.opens(1, 8'000, f.mine) == Code::ok);
  CHECK(f.opens(1, 8'001, f.mine, Tunnels::Wire::tls) == Code::failed_precondition);
  f.tunnels.identities = [] { return nullptr; };  // there is no certificate
  CHECK(f.opens(1, 8'001, f.mine, Tunnels::Wire::tls) == Code::failed_precondition);
  CHECK(f.tunnels.size() == 2);
  f.container(0).fake.end({});
  f.passes(3s);
  CHECK(f.tunnels.size() == 1);
  CHECK(f.opens(0, 8'001, f.mine) == Code::not_found);
}

TEST_CASE("a container, a workspace and all together have so many tunnels") {
  TunnelLimits limits;
  limits.per_container = 3;
  limits.per_workspace = 4;
  limits.all = 5;
  Burrow f(limits);
  f.tunnels.start("127.0.0.1");
  for (std::uint16_t port = 1; port <= 3; ++port) {
    CHECK(f.opens(0, port, f.mine) == Code::ok);
  }
  CHECK(f.opens(0, 4, f.mine) == Code::resource_exhausted);
  CHECK(f.opens(1, 1, f.mine) == Code::ok);
  CHECK(f.opens(1, 2, f.mine) == Code::resource_exhausted);
  CHECK(f.opens(1, 2, f.other) == Code::ok);
  CHECK(f.opens(1, 3, f.other) == Code::resource_exhausted);
}

TEST_CASE("a tunnel waits for a container that has not started, and ends with it") {
  Burrow f;
  const model::ContainerId box{"ta-box"};
  Result<std::string> address = Error::unavailable("it has not started");
  Tunnels ahead(f.loop, [&address](const model::ContainerId&) { return address; });
  ahead.start("127.0.0.1");
  const auto opened = ahead.open(box, f.mine, 80, Tunnels::Wire::plain);
  REQUIRE(opened);
  CHECK(ahead.find(box, 80) == *opened);
  CHECK_FALSE(ahead.find(box, 81));
  f.passes(3s);
  CHECK(ahead.size() == 1);
  address = Error::not_found("it has ended");
  f.passes(3s);
  CHECK(ahead.size() == 0);
  CHECK_FALSE(ahead.find(box, 80));
  f.await(ahead.stop());
}

TEST_CASE("a server with few descriptors has few tunnels") {
  const TunnelLimits usual;
  CHECK(within(usual, 1u << 20).connections == usual.connections);
  const TunnelLimits small = within(usual, 1'024);
  CHECK(small.connections == 64);
  CHECK(small.connections_per_workspace == 32);
  CHECK(small.all == 64);
  CHECK(small.per_workspace == 32);
  CHECK(within(usual, 0).connections == 16);
}
