// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/loopback_hosts.h"

#include <doctest/doctest.h>

#include <vector>

namespace thaw::gateway {

namespace {

const model::WorkspaceId a("ac-a");
const model::WorkspaceId b("ac-b");

net::HttpHandler nothing() {
  return [](net::HttpExchange&) -> async::Task<void> { co_return ok(); };
}

}  // namespace

TEST_CASE("a label has one address of the loopback network, the same in every server") {
  std::vector<std::string> listened;
  const LoopbackHosts::Listen listen = [&](const std::string& address, const net::HttpHandler&) {
    listened.push_back(address);
    return ok();
  };
  LoopbackHosts first(listen, 10, 10);
  const std::string address = first.address_of("app-f", a, nothing);
  CHECK(address.starts_with("127."));
  CHECK(!address.starts_with("127.0."));
  CHECK(first.address_of("app-f", a, nothing) == address);
  CHECK(listened == std::vector<std::string>{address});
  CHECK(first.address_of("app-g", a, nothing) != address);
  LoopbackHosts after_restart(listen, 10, 10);
  CHECK(after_restart.address_of("app-f", a, nothing) == address);
}

TEST_CASE("an address that is in use is passed over, and there may be none") {
  std::vector<std::string> tried;
  LoopbackHosts second(
      [&](const std::string& address, const net::HttpHandler&) -> Result<void> {
        tried.push_back(address);
        return tried.size() == 1 ? Result<void>(Error::failed_precondition("in use")) : ok();
      },
      10, 10);
  CHECK(second.address_of("app-f", a, nothing) == tried.at(1));
  LoopbackHosts none(
      [](const std::string&, const net::HttpHandler&) -> Result<void> {
        return Error::resource_exhausted("no descriptors");
      },
      10, 10);
  CHECK(none.address_of("app-f", a, nothing).empty());
}

TEST_CASE("one workspace does not take the addresses of all") {
  LoopbackHosts hosts([](const std::string&, const net::HttpHandler&) { return ok(); }, 5, 3);
  int given = 0;
  for (int i = 0; i < 100; ++i) {
    given += hosts.address_of("a-" + std::to_string(i), a, nothing).empty() ? 0 : 1;
  }
  CHECK(given == 3);
  CHECK(!hosts.address_of("b-1", b, nothing).empty());
  CHECK(!hosts.address_of("b-2", b, nothing).empty());
  CHECK(hosts.address_of("b-3", b, nothing).empty());
}

}  // namespace thaw::gateway
