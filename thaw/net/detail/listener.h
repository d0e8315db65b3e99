// SPDX-License-Identifier: Apache-2.0
//
// Listening sockets, made with plain system calls so that every failure names its address: TCP on a
// literal address or a name, and Unix sockets that only their owner may open.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/result.h"
#include "thaw/net/http.h"
#include "thaw/os/fd.h"

namespace thaw::net::detail {

struct BoundTcp {
  os::Fd fd;
  std::uint16_t port = 0;
};

Result<BoundTcp> bind_tcp(const std::string& host, std::uint16_t port);

// A socket file with mode 0600. A socket that is there already is replaced; anything else is not.
Result<os::Fd> bind_unix(const std::string& path);

struct Accepted {
  os::Fd fd;            // invalid when nobody waits any more
  std::string address;  // of a TCP peer
  int family = 0;
};

// Non-blocking. An Error is about this process (too many files), not about one peer.
Result<Accepted> accept_one(const os::Fd& listener);

}  // namespace thaw::net::detail
