// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/in_machine.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <string>

namespace thaw::net::detail {
namespace {

sockaddr_storage address_of(const char* text) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    address.ss_family = AF_INET;
  } else if (::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
    address.ss_family = AF_INET6;
  }
  return address;
}

TEST_CASE("loopback is told by its address, in either family") {
  for (const char* near : {"127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"}) {
    CAPTURE(near);
    CHECK(is_loopback(address_of(near)));
  }
  for (const char* far : {"128.0.0.1", "10.127.0.1", "::2", "fe80::1", "::ffff:10.0.0.127"}) {
    CAPTURE(far);
    CHECK_FALSE(is_loopback(address_of(far)));
  }
  CHECK_FALSE(is_loopback(sockaddr_storage{}));
}

TEST_CASE("a host is the same in either family, and whatever the port") {
  auto other_port = address_of("10.0.0.1");
  reinterpret_cast<sockaddr_in&>(other_port).sin_port = htons(80);
  CHECK(is_same_host(address_of("10.0.0.1"), other_port));
  CHECK(is_same_host(address_of("10.0.0.1"), address_of("::ffff:10.0.0.1")));
  CHECK(is_same_host(address_of("fe80::1"), address_of("fe80::1")));
  CHECK_FALSE(is_same_host(address_of("10.0.0.1"), address_of("10.0.0.2")));
  CHECK_FALSE(is_same_host(address_of("::1"), address_of("127.0.0.1")));
  CHECK_FALSE(is_same_host(sockaddr_storage{}, sockaddr_storage{}));
}

TEST_CASE("a connection within the machine is not paced, and what is none stays as it was") {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(socket >= 0);
  send_unpaced(socket);
  char name[16] = "";
  socklen_t size = sizeof name;
  REQUIRE(::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, &size) == 0);
  CHECK(std::string(name) == "reno");
  ::close(socket);
  send_unpaced(-1);
}

}  // namespace
}  // namespace thaw::net::detail
