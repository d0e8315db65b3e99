// SPDX-License-Identifier: Apache-2.0
//
// Surroundings: where this server stands, as its clients and its containers reach it. Known once it
// listens; values.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/gateway/web_origin.h"

namespace thaw::gateway {

struct Surroundings {
  std::string authority;            // host:port at which clients reach this server
  std::string container_authority;  // where containers reach signed addresses
  std::string web_domain;           // functions are reached at LABEL.<this>; empty: none
  bool knows_localhost = false;     // this machine's clients find LABEL.localhost
  // Nobody but who is on this machine reaches it.
  bool is_on_loopback = false;
  TrustedProxies proxies;
  std::uint64_t memory_bytes = UINT64_MAX;          // that this process may have
  std::uint64_t message_buffer_bytes = UINT64_MAX;  // of what one workspace has on its way
};

}  // namespace thaw::gateway
