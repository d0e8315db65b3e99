// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/in_machine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <optional>

namespace thaw::net::detail {

namespace {

// As IPv6 has it.
std::optional<in6_addr> host_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    return reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  }
  if (address.ss_family != AF_INET) {
    return std::nullopt;
  }
  in6_addr mapped{};
  mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
  mapped.s6_addr32[3] = reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr;
  return mapped;
}

}  // namespace

bool is_same_host(const sockaddr_storage& one, const sockaddr_storage& other) {
  const auto a = host_of(one);
  const auto b = host_of(other);
  return a && b && IN6_ARE_ADDR_EQUAL(&*a, &*b) != 0;
}

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return ntohl(v4.sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
  }
  if (address.ss_family != AF_INET6) {
    return false;
  }
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

void send_unpaced(int socket) {
  constexpr char reno[] = "reno";
  (void)::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof reno - 1);
}

}  // namespace thaw::net::detail
